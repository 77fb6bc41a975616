/* SPDX-License-Identifier: ISC */
/* See net.h. */
#include "worker/net.h"

#include <assert.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>

#include "common/fd.h"
#include "worker/dial.h"
#include "worker/libcurl.h"

#define REDIRECTS_MAX	10L
#define CONNECT_S	30L
#define TRICKLE		1024L /* bytes a second that count as a stall */
#define TRIES_MAX	5
#define COMPLAINT_MAX	2048
#define CHALLENGE_MAX	8192
#define BUFFER		(128L * 1024)
#define POLL_MS		100
#define AUTHORITIES_MAX (4 * 1024 * 1024)

/* certificates in the place of the system's, when there are any */
static struct curl_blob authorities;

struct net {
	struct job *job;
	CURLM *multi;
	unsigned stall_s;
};

/*
 * SSL_CERT_FILE, the way OpenSSL's programs have it: a company's authority, or a test's. Read
 * before the seal, behind which only the system's can be opened.
 */
static int read_authorities(struct bg_err **err)
{
	const char *path = getenv("SSL_CERT_FILE");
	char *text;
	int r;

	if (!path || !*path)
		return 0;
	r = bg_read_file_at(AT_FDCWD, path, AUTHORITIES_MAX, &text, &authorities.len);
	if (r < 0)
		return bg_err_sys(
			err, BG_ERR_NET_TLS, -r, "read %s, which SSL_CERT_FILE names", path);
	authorities.data = text; /* until the process ends */
	return 0;
}

int net_start(struct bg_err **err)
{
	int r = libcurl_load(err);

	if (r >= 0)
		r = read_authorities(err);
	if (r < 0)
		return r;
	/* A resolver thread's own arena would take 64 MiB of address space each. */
	(void)mallopt(M_ARENA_MAX, 1);
	if (lc.curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return bg_err_set(err, BG_ERR_WORKER, EIO, "libcurl does not start");
	/* The first one tries whether there is IPv6, with a socket, and remembers: the seal lets none be made. */
	lc.curl_multi_cleanup(lc.curl_multi_init());
	return 0;
}

int net_new(struct job *job, unsigned stall_s, struct net **ret, struct bg_err **err)
{
	_unref_(net) struct net *net = calloc(1, sizeof(*net));

	if (net)
		net->multi = lc.curl_multi_init();
	if (!net || !net->multi)
		return bg_err_sys(err, BG_ERR_WORKER, ENOMEM, "start a transfer");
	net->job = job;
	net->stall_s = stall_s;
	*ret = TAKE_PTR(net);
	return 0;
}

void net_free(struct net *net)
{
	if (!net)
		return;
	if (net->multi)
		lc.curl_multi_cleanup(net->multi);
	free(net);
}

void transfer_clear(struct transfer *t)
{
	assert(!t->handle);
	free(TAKE_PTR(t->text));
	free(TAKE_PTR(t->challenge));
	free(TAKE_PTR(t->type));
	free(TAKE_PTR(t->complaint));
	free(TAKE_PTR(t->auth_used));
	bg_err_free(TAKE_PTR(t->err));
}

static int restart_file(struct transfer *t)
{
	if (ftruncate(t->fd, 0) < 0)
		return job_write_err(-errno, &t->err, "empty the file of %s", t->name);
	if (t->digest)
		digest_reset(t->digest);
	t->size = 0;
	return 0;
}

static int to_file(struct transfer *t, const char *p, size_t len)
{
	while (len > 0) {
		ssize_t n = pwrite(t->fd, p, len, (off_t)t->size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return job_write_err(n < 0 ? -errno : -EIO, &t->err, "write %s", t->name);
		if (t->digest)
			digest_add(t->digest, p, (size_t)n);
		t->size += (uint64_t)n;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int to_text(struct transfer *t, const char *p, size_t len)
{
	char *text = realloc(t->text, t->size + len + 1);

	if (!text)
		return bg_err_sys(&t->err, BG_ERR_WORKER, ENOMEM, "read %s", t->name);
	memcpy(text + t->size, p, len);
	t->text = text;
	t->size += len;
	text[t->size] = '\0';
	return 0;
}

/* A refusal's body is for its message only. */
static size_t complain(struct transfer *t, const char *p, size_t len)
{
	size_t n = BG_MIN(len, COMPLAINT_MAX - t->complaint_len);

	if (!t->complaint)
		t->complaint = calloc(1, COMPLAINT_MAX + 1);
	if (t->complaint)
		memcpy(t->complaint + t->complaint_len, p, n);
	t->complaint_len += n;
	return len;
}

/* The first piece of an answer: tells whether it goes on from where the file ends. */
static int on_first(struct transfer *t, long status)
{
	curl_off_t length = -1;
	int r = 0;

	t->status = status;
	if (status != 206 && t->size > 0 && t->fd >= 0)
		r = restart_file(t);
	lc.curl_easy_getinfo(t->handle, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
	t->total = length > 0 && t->fd >= 0 ? t->size + (uint64_t)length : 0;
	return r;
}

static size_t on_body(char *p, size_t one, size_t len, void *userdata)
{
	struct transfer *t = userdata;
	long status = 0;
	int r = 0;

	(void)one;
	lc.curl_easy_getinfo(t->handle, CURLINFO_RESPONSE_CODE, &status);
	if (status >= 400)
		return complain(t, p, len);
	if (status != t->status)
		r = on_first(t, status);
	if (r >= 0 && len > t->max - t->size) {
		r = bg_err_set(&t->err, BG_ERR_NET_TOO_LARGE, EFBIG,
			"%s is larger than the %llu bytes that it may have", t->name,
			(unsigned long long)t->max);
	}
	t->fetched += len;
	if (r >= 0)
		r = t->fd >= 0 ? to_file(t, p, len) : to_text(t, p, len);
	return r < 0 ? CURL_WRITEFUNC_ERROR : len;
}

/* The value of a header line when it is this one; the caller's. */
static char *header_value(const char *line, size_t len, const char *name)
{
	size_t n = strlen(name);

	if (len < n || strncasecmp(line, name, n) != 0)
		return NULL;
	line += n;
	len -= n;
	while (len > 0 && (*line == ' ' || *line == '\t'))
		line++, len--;
	while (len > 0 && (line[len - 1] == '\r' || line[len - 1] == '\n' || line[len - 1] == ' '))
		len--;
	return strndup(line, len);
}

static void add_challenge(struct transfer *t, char *value)
{
	_free_ char *owned = value;
	char *both = NULL;

	if (t->challenge && strlen(t->challenge) + strlen(value) > CHALLENGE_MAX)
		return;
	if (asprintf(&both, "%s%s%s", t->challenge ? t->challenge : "", t->challenge ? ", " : "",
		    owned) < 0)
		return;
	free(t->challenge);
	t->challenge = both;
}

static size_t on_header(char *line, size_t one, size_t len, void *userdata)
{
	struct transfer *t = userdata;
	char *value;

	(void)one;
	if (len >= 5 && strncmp(line, "HTTP/", 5) == 0) { /* the next answer: after a redirect */
		free(TAKE_PTR(t->challenge));
		free(TAKE_PTR(t->type));
	} else if ((value = header_value(line, len, "www-authenticate:"))) {
		add_challenge(t, value);
	} else if ((value = header_value(line, len, "content-type:"))) {
		value[strcspn(value, "; \t")] = '\0';
		free(t->type);
		t->type = value;
	}
	return len;
}

static void add_header(struct transfer *t, const char *line)
{
	struct curl_slist *list = line ? lc.curl_slist_append(t->headers, line) : NULL;

	if (list)
		t->headers = list;
}

/* For each address that is tried. */
static curl_socket_t on_socket(void *userdata, curlsocktype purpose, struct curl_sockaddr *to)
{
	struct transfer *t = userdata;
	int fd = dial_to(&to->addr, to->addrlen, to->socktype, to->protocol);

	(void)purpose;
	t->too_near |= fd == -EACCES;
	return fd < 0 ? CURL_SOCKET_BAD : fd;
}

static void set_options(struct transfer *t)
{
	const char *protocols = strncasecmp(t->url, "https:", 6) == 0 ? "https" : "http,https";
	CURL *c = t->handle;

	lc.curl_easy_setopt(c, CURLOPT_URL, t->url);
	lc.curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	lc.curl_easy_setopt(c, CURLOPT_USERAGENT, "banger/" BG_VERSION);
	lc.curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, protocols);
	lc.curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, protocols);
	lc.curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
	lc.curl_easy_setopt(c, CURLOPT_MAXREDIRS, REDIRECTS_MAX);
	lc.curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, CONNECT_S);
	lc.curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, TRICKLE);
	lc.curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)t->net->stall_s);
	lc.curl_easy_setopt(c, CURLOPT_BUFFERSIZE, BUFFER);
	lc.curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
	lc.curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
	lc.curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
	lc.curl_easy_setopt(c, CURLOPT_HEADERDATA, t);
	lc.curl_easy_setopt(c, CURLOPT_PRIVATE, t);
	lc.curl_easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, on_socket);
	lc.curl_easy_setopt(c, CURLOPT_OPENSOCKETDATA, t);
	if (authorities.data)
		lc.curl_easy_setopt(c, CURLOPT_CAINFO_BLOB, &authorities);
}

/* What differs between the tries: credentials, and where the file ends. */
static int begin(struct transfer *t, struct bg_err **err)
{
	char range[32];
	CURL *c = t->handle ? t->handle : lc.curl_easy_init();

	if (!c)
		return bg_err_sys(err, BG_ERR_WORKER, ENOMEM, "fetch %s", t->name);
	t->handle = c;
	t->status = 0;
	t->complaint_len = 0;
	t->too_near = false;
	t->tries++;
	if (t->fd < 0)
		t->size = 0;
	set_options(t);
	lc.curl_slist_free_all(t->headers);
	t->headers = NULL;
	add_header(t, t->accept);
	free(t->auth_used);
	t->auth_used = t->auth && *t->auth ? strdup(*t->auth) : NULL;
	add_header(t, t->auth_used);
	lc.curl_easy_setopt(c, CURLOPT_HTTPHEADER, t->headers);
	if (t->post)
		lc.curl_easy_setopt(c, CURLOPT_COPYPOSTFIELDS, t->post);
	if (t->user) {
		lc.curl_easy_setopt(c, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
		lc.curl_easy_setopt(c, CURLOPT_USERNAME, t->user);
		lc.curl_easy_setopt(c, CURLOPT_PASSWORD, t->password ? t->password : "");
	}
	snprintf(range, sizeof(range), "%llu-", (unsigned long long)t->size);
	lc.curl_easy_setopt(c, CURLOPT_RANGE, t->fd >= 0 && t->size > 0 ? range : NULL);
	if (lc.curl_multi_add_handle(t->net->multi, c) != CURLM_OK)
		return bg_err_sys(err, BG_ERR_WORKER, ENOMEM, "fetch %s", t->name);
	return 0;
}

static void end(struct transfer *t)
{
	if (t->handle) {
		lc.curl_multi_remove_handle(t->net->multi, t->handle);
		lc.curl_easy_cleanup(t->handle);
	}
	lc.curl_slist_free_all(t->headers);
	t->handle = t->headers = NULL;
}

/* A connection that broke: worth another try. */
static bool is_broken(CURLcode code)
{
	return code == CURLE_PARTIAL_FILE || code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR ||
	       code == CURLE_GOT_NOTHING || code == CURLE_HTTP2 || code == CURLE_HTTP2_STREAM;
}

static bool is_tls(CURLcode code)
{
	return code == CURLE_SSL_CONNECT_ERROR || code == CURLE_PEER_FAILED_VERIFICATION ||
	       code == CURLE_SSL_CERTPROBLEM || code == CURLE_SSL_CIPHER ||
	       code == CURLE_SSL_CACERT_BADFILE || code == CURLE_SSL_ISSUER_ERROR;
}

static int explain(const struct transfer *t, CURLcode code, struct bg_err **err)
{
	const char *why = lc.curl_easy_strerror(code);
	int r;

	if (code == CURLE_TOO_MANY_REDIRECTS)
		return bg_err_set(err, BG_ERR_NET_REDIRECTS, ELOOP,
			"%s: the server redirects more than %ld times", t->name, REDIRECTS_MAX);
	if (code == CURLE_COULDNT_CONNECT && t->too_near) {
		r = bg_err_set(err, BG_ERR_NET_REDIRECTS, EACCES,
			"%s: the server leads to an address of this host, its VMs or its own "
			"network",
			t->name);
		bg_err_hint(err, "only a server on the same host or network may; name the other "
				 "one yourself");
		return r;
	}
	if (code == CURLE_OPERATION_TIMEDOUT && t->fetched + (uint64_t)t->status == 0)
		return bg_err_set(err, BG_ERR_NET_STALLED, ETIMEDOUT,
			"%s: the server does not answer", t->name);
	if (code == CURLE_OPERATION_TIMEDOUT)
		return bg_err_set(err, BG_ERR_NET_STALLED, ETIMEDOUT,
			"%s: nothing came for %u seconds", t->name, t->net->stall_s);
	if (code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_URL_MALFORMAT) {
		r = bg_err_set(err, BG_ERR_NET_UNREACHABLE, EINVAL, "%s: %s", t->name, why);
		bg_err_hint(err, "http:// and https:// are followed, but never from https to http");
		return r;
	}
	if (is_tls(code))
		return bg_err_set(err, BG_ERR_NET_TLS, EPROTO, "%s: %s", t->name, why);
	if (is_broken(code))
		return bg_err_set(err, BG_ERR_NET_BROKEN, EPIPE,
			"%s: the connection broke %u times: %s", t->name, t->tries, why);
	return bg_err_set(err, BG_ERR_NET_UNREACHABLE, EHOSTUNREACH, "%s: %s", t->name, why);
}

/* The first line of text that a refusal came with, printable; registries send JSON. */
static const char *complaint(struct transfer *t)
{
	_json_ json_t *body = NULL;
	const char *text = NULL;

	if (!t->complaint || t->complaint_len == 0)
		return NULL;
	t->complaint[t->complaint_len] = '\0';
	body = json_loads(t->complaint, 0, NULL);
	if (bg_json_get_str(json_array_get(json_object_get(body, "errors"), 0), "message", &text) <
		0)
		return NULL;
	snprintf(t->complaint, COMPLAINT_MAX, "%.200s", text);
	for (char *p = t->complaint; *p; p++)
		if ((unsigned char)*p < ' ')
			*p = ' ';
	return t->complaint;
}

int transfer_refused(struct transfer *t, struct bg_err **err)
{
	const char *why = complaint(t);

	return bg_err_set(err, BG_ERR_NET_STATUS, t->status == 404 ? ENOENT : EIO,
		"%s: the server answers %ld%s%s", t->name, t->status, why ? ": " : "",
		why ? why : "");
}

/* The file has more than the server: it is of something else. */
static int start_over(struct transfer *t, struct bg_err **err)
{
	if (restart_file(t) >= 0)
		return 1;
	*err = TAKE_PTR(t->err);
	return -EIO;
}

/* 1: once more. 0: it is done. */
static int judge(struct transfer *t, CURLcode code, struct bg_err **err)
{
	int r;

	lc.curl_easy_getinfo(t->handle, CURLINFO_RESPONSE_CODE, &t->status);
	if (t->err) {
		*err = TAKE_PTR(t->err);
		return -EIO;
	}
	if (is_broken(code) && t->tries < TRIES_MAX)
		return 1;
	if (code != CURLE_OK)
		return explain(t, code, err);
	if (t->status == 401 && t->authorize && t->tries < TRIES_MAX) {
		r = t->authorize(t, err);
		if (r != 0)
			return r;
	}
	if (t->status == 416 && t->size > 0 && t->fd >= 0 && t->tries < TRIES_MAX)
		return start_over(t, err);
	if (t->fd < 0)
		return 0;
	if (t->status < 200 || t->status >= 300)
		return transfer_refused(t, err);
	if (t->want == 0 || t->size == t->want)
		return 0;
	if (t->tries < TRIES_MAX)
		return 1;
	return bg_err_set(err, BG_ERR_NET_BROKEN, EPIPE, "%s: the server sends %llu of %llu bytes",
		t->name, (unsigned long long)t->size, (unsigned long long)t->want);
}

/* Number of transfers that ended, or -errno. */
static int reap(struct net *net, struct bg_err **err)
{
	int ended = 0, left;
	CURLMsg *m;

	while ((m = lc.curl_multi_info_read(net->multi, &left))) {
		struct transfer *t = NULL;
		int r;

		lc.curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &t);
		r = judge(t, m->data.result, err);
		if (r < 0)
			return r;
		if (r == 0) {
			end(t);
			ended++;
			continue;
		}
		lc.curl_multi_remove_handle(net->multi, t->handle);
		r = begin(t, err);
		if (r < 0)
			return r;
	}
	return ended;
}

static int wait_some(
	struct net *net, struct transfer **list, size_t n, uint64_t base, struct bg_err **err)
{
	for (size_t i = 0; i < n; i++)
		base += list[i]->size;
	if (n == 1 && list[0]->fd >= 0 && !list[0]->want)
		net->job->total = list[0]->total;
	/* Short, since a cancellation is looked for after it. */
	if (lc.curl_multi_poll(net->multi, NULL, 0, POLL_MS, NULL) != CURLM_OK)
		return bg_err_sys(err, BG_ERR_WORKER, EIO, "wait for a server");
	/* A document on the way to a file is not progress. */
	return list[0]->fd < 0 ? job_alive(net->job, err) : job_tick(net->job, base, NULL, err);
}

static int run_all(struct net *net, struct transfer **list, size_t n, unsigned parallel,
	uint64_t base, struct bg_err **err)
{
	size_t started = 0, active = 0;

	while (started < n || active > 0) {
		int r, running;

		for (; started < n && active < parallel; started++, active++) {
			list[started]->net = net;
			r = begin(list[started], err);
			if (r < 0)
				return r;
		}
		if (lc.curl_multi_perform(net->multi, &running) != CURLM_OK)
			return bg_err_sys(err, BG_ERR_WORKER, EIO, "talk to a server");
		r = reap(net, err);
		if (r < 0)
			return r;
		active -= (size_t)r;
		r = r > 0 ? 0 : wait_some(net, list, n, base, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int net_run(struct net *net, struct transfer **list, size_t n, unsigned parallel, uint64_t base,
	struct bg_err **err)
{
	int r = run_all(net, list, n, parallel, base, err);

	for (size_t i = 0; i < n; i++)
		if (list[i]->net)
			end(list[i]);
	return r;
}
