/* SPDX-License-Identifier: ISC */
/*
 * route.c: Walks the rows segment by segment; the arguments of a path are decoded and checked
 * before a handler sees them.
 */
#include "daemon/http/route.h"

#include <assert.h>
#include <stdio.h>

#include "common/api_schema.h"
#include "common/name.h"

static const struct route *routes;
static size_t n_routes;

void routes_bind(const struct route *rows, size_t n)
{
	routes = rows;
	n_routes = n;
}

static const char *const methods[] = {"GET", "POST", "DELETE", "?"};
static_assert(ARRAY_SIZE(methods) == HTTP_METHOD_MAX_, "one word per method");

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* *i is at '%'; leaves it at the escape's last digit. */
static int decode_escape(const char *raw, size_t len, size_t *i)
{
	int hi, lo;

	if (*i + 2 >= len)
		return -EINVAL;
	hi = hex(raw[*i + 1]);
	lo = hex(raw[*i + 2]);
	*i += 2;
	return hi < 0 || lo < 0 ? -EINVAL : hi * 16 + lo;
}

/* A segment of len raw bytes; what is too long to be a name is cut one byte after that. */
static int decode(const char *raw, size_t len, char out[BG_NAME_MAX + 2])
{
	size_t n = 0;

	for (size_t i = 0; i < len && n <= BG_NAME_MAX; i++) {
		int c = raw[i] == '%' ? decode_escape(raw, len, &i) : (unsigned char)raw[i];

		if (c <= 0)
			return -EINVAL;
		out[n++] = (char)c;
	}
	out[n] = '\0';
	return 0;
}

struct span {
	const char *p;
	size_t len;
};

static struct span segment(const char *path)
{
	return (struct span){path, strcspn(path, "/")};
}

/* Do both have the same segments, {…} standing for any one? *arg is the raw text it stood for. */
static bool path_matches(const char *template, const char *path, struct span *arg)
{
	*arg = (struct span){0};
	while (*template == '/' && *path == '/') {
		struct span t = segment(template + 1), p = segment(path + 1);

		if (t.len > 0 && t.p[0] == '{')
			*arg = p;
		else if (t.len != p.len || memcmp(t.p, p.p, t.len) != 0)
			return false;
		template = t.p + t.len;
		path = p.p + p.len;
	}
	return !*template && !*path;
}

static bool id_valid(const char *id)
{
	size_t len = strlen(id);

	return len > 0 && len <= 18 && strspn(id, "0123456789") == len; /* fits an int64 */
}

static const char *noun_of(const struct route *route)
{
	if (strncmp(route->path, "/v1/vms/", 8) == 0)
		return "VM";
	return strncmp(route->path, "/v1/images/", 11) == 0 ? "image" : "kernel";
}

static int check_arg(
	const struct route *route, struct span raw, char out[BG_NAME_MAX + 1], struct bg_err **err)
{
	char text[BG_NAME_MAX + 2];
	int r;

	out[0] = '\0';
	if (!raw.p)
		return 0;
	r = decode(raw.p, raw.len, text);
	if (r < 0)
		return bg_err_set(err, BG_ERR_BAD_REQUEST, EINVAL, "a bad %%-escape in the path");
	if (strstr(route->path, "{id}")) {
		if (!id_valid(text))
			return bg_err_set(err, BG_ERR_OP_NOT_FOUND, ENOENT,
				"\"%s\" is not an operation's id", text);
	} else {
		r = bg_name_check(noun_of(route), text, err);
		if (r < 0)
			return r;
	}
	memcpy(out, text, strlen(text) + 1);
	return 0;
}

static void add_allow(char allow[32], enum http_method method)
{
	size_t n = strlen(allow);

	if (!strstr(allow, methods[method]))
		snprintf(allow + n, 32 - n, "%s%s", n ? ", " : "", methods[method]);
}

int route_find(enum http_method method, const char *raw_path, struct route_match *ret,
	char allow[32], struct bg_err **err)
{
	struct span arg;
	int r;

	allow[0] = '\0';
	for (size_t i = 0; i < n_routes; i++) {
		if (!path_matches(routes[i].path, raw_path, &arg))
			continue;
		if (routes[i].method != method) {
			add_allow(allow, routes[i].method);
			continue;
		}
		r = check_arg(&routes[i], arg, ret->arg, err);
		if (r >= 0)
			ret->route = &routes[i];
		return r;
	}
	if (!allow[0])
		return bg_err_set(err, BG_ERR_NO_ROUTE, ENOENT, "there is no %.200s", raw_path);
	return bg_err_set(err, BG_ERR_METHOD, EINVAL, "%.200s takes %s", raw_path, allow);
}

bool route_takes_query(const struct route *route, const char *name)
{
	return api_schema_has(route->query, name);
}
