/* SPDX-License-Identifier: ISC */
/* config.c: One row per key; a kind of value is a function that takes the text into the field. */
#include "host/config.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>

#include "common/fd.h"
#include "common/limits.h"
#include "common/name.h"
#include "common/near.h"
#include "common/size.h"
#include "host/config_toml.h"

enum kind {
	KIND_LEVEL,
	KIND_DEBUG,
	KIND_VMM,
	KIND_STORAGE,
	KIND_PROGRAM,
	KIND_PATH,
	KIND_NAME,
	KIND_RESOLVER,
	KIND_LISTEN,
	KIND_FOLDERS,
	KIND_HOSTS,
	KIND_URLS,
	KIND_BOOL,
	KIND_VCPUS,
	KIND_SECONDS,
	KIND_TAPS,
	KIND_BOOTS,
	KIND_MEMORY,
	KIND_DISK
};

struct key {
	const char *name;
	enum kind kind;
	size_t offset;
	const char *standard;
};

static const struct key keys[] = {
#define X(key, kind, field, standard, help)                                                        \
	{#key, KIND_##kind, offsetof(struct config, field), standard},
#include "host/config_keys.def"
#undef X
};

static const char *const debug_words[] = {"off", "dumpable"};
static const char *const vmm_words[] = {"auto", "qemu", "firecracker"};
static const char *const storage_words[] = {"auto", "reflink", "copy", "dm-snapshot", "guest-cow"};

struct load {
	struct config *config;
	const char *path;
	unsigned seen_at[ARRAY_SIZE(keys)]; /* line, 0: not yet */
	struct bg_err **err;
};

/* "PATH:LINE: KEY …" and a hint that says what would do. */
_printf_(4, 5) static int bad(
	const struct load *l, unsigned line, const char *hint, const char *fmt, ...)
{
	_free_ char *text = NULL;
	va_list ap;
	int n, r;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		return bg_err_set(l->err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	r = bg_err_set(l->err, BG_ERR_CONFIG, EINVAL, "%s:%u: %s", l->path, line, text);
	if (hint)
		bg_err_hint(l->err, "%s", hint);
	return r;
}

/* Where the key's value lives; its type goes with the kind. */
static void *field(const struct load *l, const struct key *key)
{
	return (char *)l->config + key->offset;
}

/* "auto, qemu or firecracker" */
static void list_words(char *out, size_t size, const char *const *words, size_t n)
{
	size_t len = 0;

	for (size_t i = 0; i < n && len < size; i++)
		len += (size_t)snprintf(out + len, size - len, "%s%s",
			i == 0	    ? ""
			: i + 1 < n ? ", "
				    : " or ",
			words[i]);
}

static int set_word(const struct load *l, const struct key *key, const char *text, unsigned line,
	const char *const *words, size_t n)
{
	char list[128], hint[160];

	for (size_t i = 0; i < n; i++)
		if (bg_streq(words[i], text)) {
			/* Every enum of struct config has the size of an int; asserted below. */
			*(int *)field(l, key) = (int)i;
			return 0;
		}
	list_words(list, sizeof(list), words, n);
	snprintf(hint, sizeof(hint), "use %s", list);
	return bad(l, line, hint, "%s: \"%.60s\" is not one of %s", key->name, text, list);
}
static_assert(sizeof(enum config_vmm) == sizeof(int) && sizeof(enum config_debug) == sizeof(int) &&
		      sizeof(enum config_storage) == sizeof(int) &&
		      sizeof(enum log_level) == sizeof(int),
	"set_word");

static int set_level(const struct load *l, const struct key *key, const char *text, unsigned line)
{
	if (log_level_parse(text, field(l, key)) >= 0)
		return 0;
	return bad(l, line, "use error, warn, info or debug", "%s: \"%.60s\" is not a level",
		key->name, text);
}

static int set_string(const struct load *l, const struct key *key, const char *text)
{
	char **value = field(l, key);
	char *copy = strdup(text);

	if (!copy)
		return bg_err_set(l->err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	free(*value);
	*value = copy;
	return 0;
}

static int set_path(const struct load *l, const struct key *key, const char *text, unsigned line)
{
	const char *home = getenv("HOME");
	_free_ char *full = NULL;

	if (text[0] == '/')
		return set_string(l, key, text);
	if (strncmp(text, "~/", 2) != 0 || !home || home[0] != '/')
		return bad(l, line, "write a path that starts with / or ~/",
			"%s: \"%.200s\" is not an absolute path", key->name, text);
	if (asprintf(&full, "%s/%s", home, text + 2) < 0)
		return bg_err_set(l->err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	return set_string(l, key, full);
}

static int set_program(const struct load *l, const struct key *key, const char *text, unsigned line)
{
	if (!text[0] || (strchr(text, '/') && text[0] != '/'))
		return bad(l, line, "write a name that is in PATH, or an absolute path",
			"%s: \"%.200s\" is not a program", key->name, text);
	return set_string(l, key, text);
}

static int set_name(const struct load *l, const struct key *key, const char *text, unsigned line)
{
	_err_ struct bg_err *err = NULL;

	if (bg_name_check("image", text, &err) < 0)
		return bad(l, line, err->hint, "%s: %s", key->name, err->message);
	return set_string(l, key, text);
}

static int set_resolver(
	const struct load *l, const struct key *key, const char *text, unsigned line)
{
	uint8_t address[sizeof(struct in6_addr)];

	if (text[0] && !bg_streq(text, "system") && inet_pton(AF_INET, text, address) != 1 &&
		inet_pton(AF_INET6, text, address) != 1)
		return bad(l, line, "use system, an address such as \"9.9.9.9\", or \"\"",
			"%s: \"%.60s\" is not an address", key->name, text);
	return set_string(l, key, text);
}

/* Loopback alone: the page's rules against strangers begin with that. */
static int set_listen(const struct load *l, const struct key *key, const char *text, unsigned line)
{
	const char *colon = strchr(text, ':');
	char host[INET_ADDRSTRLEN], *end = NULL;
	struct in_addr address;
	unsigned long port = colon ? strtoul(colon + 1, &end, 10) : 0;

	if (!text[0])
		return set_string(l, key, text);
	snprintf(host, sizeof(host), "%.*s", (int)(colon ? colon - text : 0), text);
	if (!colon || colon[1] < '0' || colon[1] > '9' || *end || port > UINT16_MAX ||
		inet_pton(AF_INET, host, &address) != 1 ||
		(ntohl(address.s_addr) >> 24) != IN_LOOPBACKNET)
		return bad(l, line,
			"use a loopback address with a port such as \"127.0.0.1:7777\", or \"\"",
			"%s: \"%.60s\" is not a loopback address with a port", key->name, text);
	return set_string(l, key, text);
}

/* "~" and "~/..." are made absolute; NULL: it is neither, or there is no home. */
static char *folder_path(const char *text)
{
	const char *home = getenv("HOME");
	char *ret = NULL;

	if (text[0] == '/')
		return strdup(text);
	if (text[0] != '~' || (text[1] && text[1] != '/') || !home || home[0] != '/')
		return NULL;
	return asprintf(&ret, "%s%s", home, text + 1) < 0 ? NULL : ret;
}

static int set_folders(const struct load *l, const struct key *key, const char *text, unsigned line)
{
	_free_ char *copy = strdup(text), *all = strdup("");
	char *state = NULL;

	for (char *part = copy ? strtok_r(copy, ":", &state) : NULL; part && all;
		part = strtok_r(NULL, ":", &state)) {
		_free_ char *path = folder_path(part), *before = all;
		size_t len = path ? strlen(path) : 0;

		all = NULL;
		if (!path && line > 0)
			return bad(l, line, "write paths that start with / or ~/, with : between",
				"%s: \"%.200s\" is not an absolute path", key->name, part);
		while (len > 1 && path[len - 1] == '/')
			path[--len] = '\0';
		if (asprintf(&all, "%s%s%s", before, *before && path ? ":" : "", path ? path : "") <
			0)
			all = NULL;
	}
	return copy && all ? set_string(l, key, all)
			   : bg_err_set(l->err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
}

static int set_hosts(const struct load *l, const struct key *key, const char *text, unsigned line)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789.-:[], ";

	if (text[strspn(text, allowed)])
		return bad(l, line, "use \"HOST:PORT HOST2\", without http:// or a path",
			"%s: \"%.60s\" is not a list of hosts", key->name, text);
	return set_string(l, key, text);
}

static int set_urls(const struct load *l, const struct key *key, const char *text, unsigned line)
{
	_free_ char *copy = strdup(text);
	char *state = NULL;

	if (!copy)
		return bg_err_set(l->err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	for (char *url = strtok_r(copy, " ", &state); url; url = strtok_r(NULL, " ", &state))
		if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0 &&
			strncmp(url, "file:///", 8) != 0)
			return bad(l, line,
				"write URLs of http, https or file, with spaces between",
				"%s: \"%.200s\" is not a URL", key->name, url);
	return set_string(l, key, text);
}

static int set_bool(const struct load *l, const struct key *key, const char *text)
{
	*(bool *)field(l, key) = bg_streq(text, "true");
	return 0;
}

static bool is_number(enum kind kind)
{
	return kind == KIND_VCPUS || kind == KIND_SECONDS || kind == KIND_TAPS ||
	       kind == KIND_BOOTS;
}

static int set_number(const struct load *l, const struct key *key, int64_t n, unsigned line)
{
	bool may_be_0 = key->kind == KIND_TAPS || key->kind == KIND_BOOTS;
	int min = may_be_0 ? 0 : key->kind == KIND_VCPUS ? BG_VCPU_MIN : 1;
	int max = key->kind == KIND_VCPUS   ? BG_VCPU_MAX
		  : key->kind == KIND_TAPS  ? BG_TAP_POOL_MAX
		  : key->kind == KIND_BOOTS ? BG_BOOTS_MAX
					    : BG_BOOT_TIMEOUT_MAX_S;

	if (n < min || n > max)
		return bad(l, line, NULL, "%s: %lld is not between %d and %d", key->name,
			(long long)n, min, max);
	*(unsigned *)field(l, key) = (unsigned)n;
	return 0;
}

static int set_size(const struct load *l, const struct key *key, const char *text, unsigned line)
{
	bool memory = key->kind == KIND_MEMORY;
	_err_ struct bg_err *err = NULL;

	if (bg_size_parse_mib(key->name, text, memory ? BG_MEMORY_MIB_MIN : BG_DISK_MIB_MIN,
		    memory ? BG_MEMORY_MIB_MAX : BG_DISK_MIB_MAX, field(l, key), &err) < 0)
		return bad(l, line, err->hint, "%s", err->message);
	return 0;
}

/* text is never NULL; for a number it is its digits, for a truth value its word. */
static int set_value(const struct load *l, const struct key *key, const char *text, unsigned line)
{
	switch (key->kind) {
	case KIND_LEVEL:
		return set_level(l, key, text, line);
	case KIND_DEBUG:
		return set_word(l, key, text, line, debug_words, ARRAY_SIZE(debug_words));
	case KIND_VMM:
		return set_word(l, key, text, line, vmm_words, ARRAY_SIZE(vmm_words));
	case KIND_STORAGE:
		return set_word(l, key, text, line, storage_words, ARRAY_SIZE(storage_words));
	case KIND_PROGRAM:
		return set_program(l, key, text, line);
	case KIND_PATH:
		return set_path(l, key, text, line);
	case KIND_NAME:
		return set_name(l, key, text, line);
	case KIND_RESOLVER:
		return set_resolver(l, key, text, line);
	case KIND_LISTEN:
		return set_listen(l, key, text, line);
	case KIND_FOLDERS:
		return set_folders(l, key, text, line);
	case KIND_HOSTS:
		return set_hosts(l, key, text, line);
	case KIND_URLS:
		return set_urls(l, key, text, line);
	case KIND_BOOL:
		return set_bool(l, key, text);
	case KIND_VCPUS:
	case KIND_SECONDS:
	case KIND_TAPS:
	case KIND_BOOTS:
		return set_number(l, key, strtoll(text, NULL, 10), line);
	case KIND_MEMORY:
	case KIND_DISK:
		return set_size(l, key, text, line);
	}
	return -EINVAL;
}

static bool type_fits(enum kind kind, enum toml_type type)
{
	if (is_number(kind))
		return type == TOML_INTEGER;
	if (kind == KIND_BOOL)
		return type == TOML_BOOLEAN;
	if (kind == KIND_MEMORY || kind == KIND_DISK)
		return type == TOML_INTEGER || type == TOML_STRING;
	return type == TOML_STRING;
}

static const char *type_wanted(enum kind kind)
{
	if (is_number(kind))
		return "a whole number";
	if (kind == KIND_BOOL)
		return "true or false";
	return kind == KIND_MEMORY || kind == KIND_DISK ? "a size such as \"2G\"" : "a \"text\"";
}

static int unknown_key(const struct load *l, const char *name, unsigned line)
{
	unsigned best_d = BG_NEAR_WORD_MAX;
	const char *best = NULL;
	char hint[128];

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		unsigned d = bg_distance(name, keys[i].name);

		if (d < best_d) {
			best_d = d;
			best = keys[i].name;
		}
	}
	if (best && bg_near(name, best_d))
		snprintf(hint, sizeof(hint), "did you mean %s?", best);
	else
		snprintf(hint, sizeof(hint), "remove it; docs/configuration.md lists the keys");
	return bad(l, line, hint, "there is no key \"%s\"", name);
}

/* Names that older configurations have. */
static const char *present_name(const char *name)
{
	return bg_streq(name, "default_vcpus") ? "default_cpus" : name;
}

static int on_key(const char *name, const struct toml_value *v, unsigned line, void *userdata)
{
	struct load *l = userdata;
	const struct key *key = NULL;
	const char *text = v->type == TOML_STRING ? v->string : v->boolean ? "true" : "false";
	char number[24];

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (bg_streq(keys[i].name, present_name(name)))
			key = &keys[i];
	if (!key)
		return unknown_key(l, name, line);
	if (l->seen_at[key - keys])
		return bad(l, line, "remove one of the two", "%s was set in line %u already", name,
			l->seen_at[key - keys]);
	l->seen_at[key - keys] = line;
	if (!type_fits(key->kind, v->type))
		return bad(l, line, NULL, "%s is to be %s", name, type_wanted(key->kind));
	snprintf(number, sizeof(number), "%lld", (long long)v->integer);
	return set_value(l, key, v->type == TOML_INTEGER ? number : text, line);
}

static int set_defaults(const struct load *l)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(keys) && r >= 0; i++)
		if (keys[i].standard)
			r = set_value(l, &keys[i], keys[i].standard, 0);
	return r;
}

int config_parse(
	const char *path, const char *text, size_t len, struct config **ret, struct bg_err **err)
{
	_unref_(config) struct config *config = calloc(1, sizeof(*config));
	struct load l = {.config = config, .path = path, .err = err};
	struct toml_error e = {0};
	int r;

	if (!config)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	r = set_defaults(&l);
	if (r < 0)
		return r;
	r = toml_parse(text, len, on_key, &l, &e);
	if (r < 0 && e.what)
		return bad(&l, e.line, NULL, "%s", e.what);
	if (r == -ENOMEM && err && !*err)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	if (r < 0)
		return r;
	*ret = TAKE_PTR(config);
	return 0;
}

static int apply_env(struct config *config, struct bg_err **err)
{
	const char *level = getenv("BANGER_LOG_LEVEL");
	int r;

	if (bg_isempty(level) || log_level_parse(level, &config->log_level) >= 0)
		return 0;
	r = bg_err_set(
		err, BG_ERR_CONFIG, EINVAL, "BANGER_LOG_LEVEL: \"%.60s\" is not a level", level);
	bg_err_hint(err, "use error, warn, info or debug");
	return r;
}

static void look(const char *path, struct config_stamp *ret)
{
	struct stat st;

	*ret = (struct config_stamp){0};
	if (stat(path, &st) >= 0)
		*ret = (struct config_stamp){st.st_dev, st.st_ino, st.st_size, st.st_mtim};
}

bool config_changed(const struct config *config, const char *path)
{
	const struct config_stamp *was = &config->stamp;
	struct config_stamp now;

	look(path, &now);
	return now.dev != was->dev || now.ino != was->ino || now.size != was->size ||
	       now.mtime.tv_sec != was->mtime.tv_sec || now.mtime.tv_nsec != was->mtime.tv_nsec;
}

int config_load(const char *path, struct config **ret, struct bg_err **err)
{
	struct config_stamp stamp;
	_unref_(config) struct config *config = NULL;
	_free_ char *text = NULL;
	size_t len = 0;
	int r;

	look(path, &stamp); /* before it is read: a change in between is one */
	r = bg_read_file_at(-1, path, BG_CONFIG_MAX, &text, &len);
	if (r < 0 && r != -ENOENT)
		return bg_err_sys(err, BG_ERR_CONFIG, -r, "read %s", path);
	r = config_parse(path, text ? text : "", len, &config, err);
	if (r >= 0)
		r = apply_env(config, err);
	if (r < 0)
		return r;
	config->stamp = stamp;
	*ret = TAKE_PTR(config);
	return 0;
}

void config_free(struct config *config)
{
	if (!config)
		return;
	free(config->firecracker_bin);
	free(config->qemu_bin);
	free(config->ssh_key_path);
	free(config->default_image_name);
	free(config->dns);
	free(config->web_folders);
	free(config->web);
	free(config->insecure_registries);
	free(config->catalogs);
	free(config);
}
