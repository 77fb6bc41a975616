/* SPDX-License-Identifier: ISC */
/*
 * oci_ref.c: Digest and tag are split off first, then host and path; each part is checked by its
 * own rule of the grammar.
 */
#include "common/oci_ref.h"

#include <stdio.h>

#define DIGITS	 "0123456789"
#define LOWER	 "abcdefghijklmnopqrstuvwxyz"
#define UPPER	 "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define HUB	 "docker.io"
#define HUB_HOST "registry-1.docker.io"
#define SCHEME	 "docker://"
#define TAG_MAX	 128

void oci_ref_free(struct oci_ref *ref)
{
	if (!ref)
		return;
	free(ref->registry);
	free(ref->host);
	free(ref->repository);
	free(ref->tag);
	free(ref->digest);
	free(ref);
}

bool oci_digest_valid(const char *s)
{
	size_t n = sizeof("sha256:") - 1;

	return strncmp(s, "sha256:", n) == 0 && strspn(s + n, DIGITS "abcdef") == BG_SHA256_HEX &&
	       s[BG_OCI_DIGEST] == '\0';
}

static bool tag_valid(const char *s)
{
	size_t len = strspn(s, LOWER UPPER DIGITS "_.-");

	return len > 0 && len <= TAG_MAX && s[len] == '\0' && s[0] != '.' && s[0] != '-';
}

/* "_", "__", "." or any number of "-" between two words; 0 for none of them. */
static size_t separator(const char *s)
{
	if (s[0] == '.')
		return 1;
	if (s[0] == '_')
		return s[1] == '_' ? 2 : 1;
	return strspn(s, "-");
}

static bool path_valid(const char *s)
{
	for (;;) {
		size_t n = strspn(s, LOWER DIGITS);

		if (n == 0)
			return false;
		s += n;
		if (*s == '\0')
			return true;
		n = *s == '/' ? 1 : separator(s);
		if (n == 0)
			return false;
		s += n;
	}
}

static bool port_valid(const char *s)
{
	size_t n = strspn(s, DIGITS);

	return n > 0 && n <= 5 && s[n] == '\0' && atoi(s) > 0 && atoi(s) <= 65535;
}

/* A name, an IPv4 address or an IPv6 one in brackets, then perhaps a port. */
static bool host_valid(const char *s)
{
	size_t n;

	if (s[0] == '[') {
		n = 1 + strspn(s + 1, DIGITS "abcdefABCDEF:.");
		if (n < 3 || s[n] != ']')
			return false;
		n++;
	} else {
		n = strspn(s, LOWER UPPER DIGITS ".-");
		if (n == 0 || s[0] == '-' || s[0] == '.' || s[n - 1] == '-' || s[n - 1] == '.')
			return false;
	}
	return s[n] == '\0' || (s[n] == ':' && port_valid(s + n + 1));
}

/* Whether what is before the first slash names a server and not the first part of a path. */
static bool is_host(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (s[i] == '.' || s[i] == ':' || s[i] == '[' || (s[i] >= 'A' && s[i] <= 'Z'))
			return true;
	return len == strlen("localhost") && strncmp(s, "localhost", len) == 0;
}

static int bad(const char *text, const char *what, struct bg_err **err)
{
	bg_err_set(err, BG_ERR_USAGE, EINVAL, "\"%.200s\" does not name a container image: %s",
		text, what);
	bg_err_hint(err,
		"write [HOST/]NAME[:TAG], as in debian:12 or registry.example.org/team/dev:1.0");
	return -EINVAL;
}

static int fill_name(struct oci_ref *ref, const char *name)
{
	const char *slash = strchr(name, '/');
	bool hub = !slash || !is_host(name, (size_t)(slash - name));
	const char *path = hub ? name : slash + 1;

	ref->registry = hub ? strdup(HUB) : strndup(name, (size_t)(slash - name));
	if (!ref->registry)
		return -ENOMEM;
	hub = hub || bg_streq(ref->registry, HUB) || bg_streq(ref->registry, "index.docker.io");
	if (hub) {
		free(ref->registry);
		ref->registry = strdup(HUB);
	}
	ref->host = strdup(hub ? HUB_HOST : ref->registry ? ref->registry : "");
	if (asprintf(&ref->repository, "%s%s", hub && !strchr(path, '/') ? "library/" : "", path) <
		0)
		ref->repository = NULL;
	return ref->registry && ref->host && ref->repository ? 0 : -ENOMEM;
}

/* Cuts the digest and the tag off name, which stays with host and path. */
static const char *split(struct oci_ref *ref, char *name)
{
	char *at = strchr(name, '@'), *slash, *colon;

	if (at) {
		*at++ = '\0';
		if (!oci_digest_valid(at))
			return "behind '@' comes sha256: and 64 hex digits";
		ref->digest = strdup(at);
	}
	slash = strrchr(name, '/');
	colon = strchr(slash ? slash : name, ':');
	if (colon) {
		*colon++ = '\0';
		if (!tag_valid(colon))
			return "the tag has letters, digits, '_', '.' and '-', at most 128 of them";
		ref->tag = strdup(colon);
	} else if (!at) {
		ref->tag = strdup("latest");
	}
	return NULL;
}

int oci_ref_parse(const char *text, struct oci_ref **ret, struct bg_err **err)
{
	size_t skip = strncmp(text, SCHEME, strlen(SCHEME)) == 0 ? strlen(SCHEME) : 0;
	_unref_(oci_ref) struct oci_ref *ref = calloc(1, sizeof(*ref));
	_free_ char *name = strdup(text + skip);
	const char *why;

	if (!ref || !name)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	why = split(ref, name);
	if (why)
		return bad(text, why, err);
	if ((!ref->tag && !ref->digest) || fill_name(ref, name) < 0)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	if (!host_valid(ref->registry))
		return bad(text, "what comes before the first '/' is not HOST or HOST:PORT", err);
	if (strlen(ref->registry) + 1 + strlen(ref->repository) > BG_OCI_NAME_MAX)
		return bad(text, "the name is longer than 255 bytes", err);
	if (!path_valid(ref->repository))
		return bad(text,
			"the name has lower-case letters and digits, with single '.', '_', '-' or "
			"'/' between them",
			err);
	*ret = TAKE_PTR(ref);
	return 0;
}

char *oci_ref_print(const struct oci_ref *ref)
{
	char *s = NULL;

	return asprintf(&s, "%s/%s%s%s%s%s", ref->registry, ref->repository, ref->tag ? ":" : "",
		       ref->tag ? ref->tag : "", ref->digest ? "@" : "",
		       ref->digest ? ref->digest : "") < 0
		       ? NULL
		       : s;
}

const char *oci_ref_reference(const struct oci_ref *ref)
{
	return ref->digest ? ref->digest : ref->tag;
}

/* Four numbers of which the first is 127: a name that only starts so is somebody's server. */
static bool is_127(const char *s, size_t len)
{
	unsigned a, b, c, d;
	int end = 0;

	return sscanf(s, "%3u.%3u.%3u.%3u%n", &a, &b, &c, &d, &end) == 4 && (size_t)end == len &&
	       a == 127;
}

bool oci_ref_is_loopback(const struct oci_ref *ref)
{
	const char *h = ref->host;
	size_t n;

	if (strncmp(h, "[::1]", 5) == 0)
		return h[5] == '\0' || h[5] == ':';
	n = strcspn(h, ":");
	return (n == strlen("localhost") && strncmp(h, "localhost", n) == 0) || is_127(h, n);
}
