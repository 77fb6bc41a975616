/* SPDX-License-Identifier: ISC */
/* openapi.c: Walks the tables and writes JSON; no text about a route stands here. */
#include "common/openapi.h"

#include <ctype.h>
#include <stdio.h>

#include "common/api_schema.h"
#include "common/err.h"
#include "common/json.h"
#include "common/limits.h"
#include "common/version.h"

#define NAME_PATTERN "^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$"
#define TEXT_PATTERN "^[^\\u0000]*$" /* in a request: C strings */

enum symbol {
#define X(sym, method, path, query, body, reply, summary) SYM_##sym,
#include "common/http_routes.def"
#undef X
	SYM_MAX_
};

struct doc_route {
	enum symbol id;
	const char *symbol, *method, *path, *query, *body, *reply, *summary;
};

static const struct doc_route routes[] = {
#define X(sym, method, path, query, body, reply, summary)                                          \
	{SYM_##sym, #sym, #method, path, query, body, reply, summary},
#include "common/http_routes.def"
#undef X
};

static const struct {
	int symbol; /* -1: every route */
	enum bg_err_code code;
} errors[] = {
#define A(code)	     {-1, BG_ERR_##code},
#define E(sym, code) {SYM_##sym, BG_ERR_##code},
#include "common/api_errors.def"
#undef E
#undef A
};

static const char *const texts[] = {
#define T(text) text,
#include "common/api_texts.def"
#undef T
};

static void put(json_t *object, const char *key, json_t *value)
{
	json_object_set_new(object, key, value);
}

static void put_text(json_t *object, const char *key, const char *text)
{
	if (*text)
		put(object, key, json_string(text));
}

/* ---- schemas ---- */

static json_t *ref(const char *schema)
{
	char text[96];

	snprintf(text, sizeof(text), "#/components/schemas/%s", schema);
	return json_pack("{s:s}", "$ref", text);
}

static json_t *words(const char *list, bool null)
{
	json_t *array = json_array();

	for (const char *p = list; *p;) {
		size_t n = strcspn(p, "|");

		json_array_append_new(array, json_stringn(p, n));
		p += n + (p[n] == '|');
	}
	if (null)
		json_array_append_new(array, json_null());
	return array;
}

static void put_type(json_t *schema, const char *type, bool null)
{
	put(schema, "type", null ? json_pack("[s, s]", type, "null") : json_string(type));
}

static void put_range(
	json_t *schema, const char *min_key, int64_t min, const char *max_key, int64_t max)
{
	if (min != INT64_MIN)
		put(schema, min_key, json_integer(min));
	if (max != INT64_MAX)
		put(schema, max_key, json_integer(max));
}

static json_t *list_entry(const struct api_field *field)
{
	long long min, max;

	if (field->type == API_LIST)
		return ref(field->ref);
	if (field->type == API_LIST_INT && sscanf(field->ref, "%lld|%lld", &min, &max) == 2)
		return json_pack("{s:s, s:I, s:I}", "type", "integer", "minimum", (json_int_t)min,
			"maximum", (json_int_t)max);
	return json_pack("{s:s}", "type", "string");
}

static json_t *map_value(const struct api_field *field, bool request)
{
	json_t *value = json_object();

	put_type(value, "string", field->flags & API_MIX);
	if (request)
		put(value, "pattern", json_string("^[^\\u0000-\\u001f\\u007f]{0,63}$"));
	return value;
}

static void put_string(json_t *schema, const struct api_field *field, bool request, bool null)
{
	put_type(schema, "string", null);
	if (field->type == API_NAME)
		put(schema, "pattern", json_string(NAME_PATTERN));
	else if (field->type == API_TIME)
		put(schema, "format", json_string("date-time"));
	else if (field->type == API_ENUM)
		put(schema, "enum", words(field->ref, null));
	else if (request)
		put(schema, "pattern", json_string(TEXT_PATTERN));
	if (field->type == API_STR && field->min > 0)
		put(schema, "minLength", json_integer(field->min));
}

static void put_container(json_t *schema, const struct api_field *field, bool request, bool null)
{
	if (field->type == API_MAP) {
		put_type(schema, "object", null);
		put(schema, "additionalProperties", map_value(field, request));
		if (request)
			put(schema, "propertyNames",
				json_pack("{s:s}", "pattern",
					"^[A-Za-z0-9._/][A-Za-z0-9._/-]{0,62}$"));
		if (field->max)
			put(schema, "maxProperties", json_integer(field->max));
		return;
	}
	put_type(schema, "array", null);
	put(schema, "items", list_entry(field));
	if (field->max)
		put(schema, "maxItems", json_integer(field->max));
}

/* request: it is a field of a body, in which what may be absent may be null. */
static json_t *field_schema(const struct api_field *field, bool request)
{
	bool null = request ? !(field->flags & API_REQ) : field->flags & API_NUL;
	json_t *schema = json_object();

	switch (field->type) {
	case API_STR:
	case API_NAME:
	case API_TIME:
	case API_ENUM:
		put_string(schema, field, request, null);
		break;
	case API_INT:
		put_type(schema, "integer", null);
		put_range(schema, "minimum", field->min, "maximum", field->max);
		break;
	case API_NUM:
		put_type(schema, "number", null);
		break;
	case API_BOOL:
		put_type(schema, "boolean", null);
		break;
	case API_REF:
		if (null)
			put(schema, "anyOf",
				json_pack("[o, {s:s}]", ref(field->ref), "type", "null"));
		else
			put(schema, "allOf", json_pack("[o]", ref(field->ref)));
		break;
	case API_LIST_STR:
	case API_LIST_INT:
	case API_LIST:
	case API_MAP:
		put_container(schema, field, request, null);
		break;
	case API_ANY:
	case API_TYPE_MAX_:
		break;
	}
	put_text(schema, "description", field->text);
	return schema;
}

static bool is_body(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(routes); i++)
		if (bg_streq(routes[i].body, name))
			return true;
	return false;
}

/* A body, or an entry of a body's list. */
static bool is_request(const struct api_field *schema)
{
	for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
		const struct api_field *row = api_schema_find(routes[i].body);

		for (row = row ? row + 1 : NULL; row && row->key; row++)
			if (row->type == API_LIST && bg_streq(row->ref, schema->ref))
				return true;
	}
	return is_body(schema->ref);
}

static json_t *object_schema(const struct api_field *schema)
{
	json_t *object = json_object(), *fields = json_object(), *required = json_array();
	const struct api_field *end = api_schema_next(schema);
	bool request = is_request(schema);

	put_type(object, "object", false);
	put_text(object, "description", schema->text);
	for (const struct api_field *row = schema + 1; row->key && row != end; row++) {
		put(fields, row->key, field_schema(row, request));
		if (request ? row->flags & API_REQ : !(row->flags & API_OPT))
			json_array_append_new(required, json_string(row->key));
	}
	put(object, "properties", fields);
	if (json_array_size(required) > 0)
		put(object, "required", json_incref(required));
	json_decref(required);
	if (request)
		put(object, "additionalProperties", json_false());
	return object;
}

static json_t *schemas(void)
{
	json_t *all = json_object();

	for (const struct api_field *s = NULL; (s = api_schema_next(s));)
		if (strncmp(s->ref, "q_", 2) != 0) /* parameters */
			put(all, s->ref, object_schema(s));
	return all;
}

/* ---- routes ---- */

static void add_path_parameter(json_t *list, const struct doc_route *route)
{
	bool id = strstr(route->path, "{id}");

	if (strchr(route->path, '{'))
		json_array_append_new(
			list, json_pack("{s:s, s:s, s:b, s:{s:s, s:s}}", "name", id ? "id" : "name",
				      "in", "path", "required", 1, "schema", "type", "string",
				      "pattern", id ? "^[0-9]{1,18}$" : NAME_PATTERN));
}

/* A flag is text in a query. */
static json_t *query_schema(const struct api_field *field)
{
	static const struct api_field flag = {
		.key = "", .type = API_ENUM, .flags = API_REQ, .ref = "0|1|false|true", .text = ""};
	struct api_field bare = field->type == API_BOOL ? flag : *field;

	bare.flags = API_REQ;
	bare.text = "";
	return field_schema(&bare, true);
}

static json_t *parameters(const struct doc_route *route)
{
	const struct api_field *row = api_schema_find(route->query);
	json_t *list = json_array();

	add_path_parameter(list, route);
	for (row = row ? row + 1 : NULL; row && row->key; row++)
		json_array_append_new(
			list, json_pack("{s:s, s:s, s:s, s:o}", "name", row->key, "in", "query",
				      "description", row->text, "schema", query_schema(row)));
	return list;
}

static json_t *body(const struct doc_route *route)
{
	const struct api_field *row = api_schema_find(route->body);
	bool required = false;

	for (row = row ? row + 1 : NULL; row && row->key; row++)
		required |= row->flags & API_REQ;
	return json_pack("{s:b, s:{s:{s:o}}}", "required", required, "content", "application/json",
		"schema", ref(route->body));
}

static json_t *content(const char *type, json_t *schema)
{
	json_t *all = json_object();

	put(all, type, json_pack("{s:o}", "schema", schema));
	return all;
}

static json_t *answer(const char *text, json_t *body_content)
{
	json_t *answer = json_pack("{s:s}", "description", text);

	if (body_content)
		put(answer, "content", body_content);
	return answer;
}

static void put_success(json_t *answers, const struct doc_route *route)
{
	const char *reply = route->reply;

	if (bg_streq(reply, "operation"))
		put(answers, "202",
			answer("begun", content("application/json", ref("operation_reply"))));
	else if (bg_streq(reply, "upgrade"))
		put(answers, "101", answer("frames from here on", NULL));
	else if (bg_streq(reply, "text"))
		put(answers, "200",
			answer("text",
				content("text/plain", json_pack("{s:s}", "type", "string"))));
	else if (bg_streq(reply, "json"))
		put(answers, "200",
			answer("done",
				content("application/json", json_pack("{s:s}", "type", "object"))));
	else if (strncmp(reply, "stream ", 7) == 0)
		put(answers, "200",
			answer("one of these a line",
				content("application/x-ndjson", ref(reply + 7))));
	else
		put(answers, "200",
			answer("done", content("application/json",
					       ref(*reply == '=' ? reply + 1 : reply))));
}

/* A body that is well formed may still be refused: what is 400 of a malformed one is then 422. */
static bool is_of(const struct doc_route *route, enum bg_err_code code, int status)
{
	int own = bg_err_code_http(code);

	return own == status || (status == 422 && own == 400 && *route->body);
}

/* The codes of a status, with commas between, in text. */
static void list_codes(const struct doc_route *route, int status, char *text, size_t size)
{
	size_t n = 0;

	text[0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++)
		if ((errors[i].symbol < 0 || errors[i].symbol == (int)route->id) &&
			is_of(route, errors[i].code, status) && n < size)
			n += (size_t)snprintf(text + n, size - n, "%s`%s`", n ? ", " : "",
				bg_err_code_str(errors[i].code));
}

static json_t *answers(const struct doc_route *route)
{
	json_t *all = json_object();

	put_success(all, route);
	for (int status = 400; status < 600; status++) {
		char text[512], key[8];

		list_codes(route, status, text, sizeof(text));
		snprintf(key, sizeof(key), "%d", status);
		if (*text)
			put(all, key,
				answer(text, content("application/json", ref("error_reply"))));
	}
	return all;
}

/* "vm_list" of VM_LIST. */
static json_t *operation_id(const char *symbol)
{
	char text[48];
	size_t i;

	for (i = 0; symbol[i] && i < sizeof(text) - 1; i++)
		text[i] = (char)tolower((unsigned char)symbol[i]);
	text[i] = '\0';
	return json_string(text);
}

static json_t *operation(const struct doc_route *route)
{
	json_t *op = json_object();

	put(op, "operationId", operation_id(route->symbol));
	put(op, "summary", json_string(route->summary));
	put(op, "parameters", parameters(route));
	if (*route->body)
		put(op, "requestBody", body(route));
	put(op, "responses", answers(route));
	return op;
}

static json_t *paths(void)
{
	json_t *all = json_object();

	for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
		const char *method = bg_streq(routes[i].method, "GET")	  ? "get"
				     : bg_streq(routes[i].method, "POST") ? "post"
									  : "delete";
		json_t *path = json_object_get(all, routes[i].path);

		if (!path) {
			put(all, routes[i].path, json_object());
			path = json_object_get(all, routes[i].path);
		}
		put(path, method, operation(&routes[i]));
	}
	return all;
}

static json_t *description(void)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	json_t *json;

	if (!f)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		fprintf(f, "%s%s", i ? "\n\n" : "", texts[i]);
	fclose(f);
	json = json_string(text);
	free(text);
	return json;
}

json_t *openapi_new(void)
{
	json_t *info = json_pack("{s:s, s:s, s:o, s:{s:s, s:s}}", "title", "banger", "version",
		BG_VERSION, "description", description(), "license", "name", "ISC", "identifier",
		"ISC");

	return json_pack("{s:s, s:o?, s:[{s:s, s:s}], s:o, s:{s:o}}", "openapi", "3.1.0", "info",
		info, "servers", "url", "http://banger", "description",
		"the host name is not looked at: the socket is what counts", "paths", paths(),
		"components", "schemas", schemas());
}
