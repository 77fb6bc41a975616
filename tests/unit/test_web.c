/* SPDX-License-Identifier: ISC */
/* What of daemon/web needs no daemon: templates, sessions, views. The gate is tests/web's, by requests. */
#include <sodium.h>

#include "common/json.h"
#include "daemon/web/gate.h"
#include "daemon/web/session.h"
#include "daemon/web/template.h"
#include "daemon/web/view.h"
#include "tests/lib/test.h"

static char *render(const char *template, const char *json)
{
	_json_ json_t *view = json_loads(json, 0, NULL);
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	int r = template_render(template, view, NULL, f);

	fclose(f);
	if (r >= 0)
		return text;
	free(text);
	return NULL;
}

static void check(const char *template, const char *json, const char *want)
{
	_free_ char *text = render(template, json);

	CHECK_STR(text, want);
}

TEST(values_are_escaped)
{
	check("<b title=\"{{a}}\">{{a}}</b>", "{\"a\": \"<i>\\\"'&\"}",
		"<b title=\"&lt;i&gt;&quot;&#39;&amp;\">&lt;i&gt;&quot;&#39;&amp;</b>");
	check("{{a}}", "{\"a\": \"\\u001b[2J\\u007f\\u009b\\u202e\\u2067x\\u00e9\\u4e2d\"}",
		"^[[2J^?\\u009b\\u202e\\u2067xé中");
	check("{{n}} {{none}}{{b}}", "{\"n\": 42, \"b\": true}", "42 ");
}

TEST(sections)
{
	check("{{#l}}{{.}},{{/l}}{{^l}}none{{/l}}", "{\"l\": [\"a\", \"b\"]}", "a,b,");
	check("{{#l}}{{.}},{{/l}}{{^l}}none{{/l}}", "{\"l\": []}", "none");
	check("{{#o}}{{a}}{{b}}{{/o}}", "{\"o\": {\"a\": \"in\"}, \"a\": \"out\", \"b\": \"er\"}",
		"iner");
	check("{{#l}}{{#l}}x{{/l}}{{/l}}", "{\"l\": true}", "x");
	check("{{#s}}full{{/s}}{{^s}}empty{{/s}}", "{\"s\": \"\"}", "empty");
	check("{{#l}}open", "{\"l\": true}", NULL);
	check("{{/l}}", "{}", NULL);
	check("{{>none}}", "{}", NULL);
}

TEST(a_token_is_good_once_and_for_a_minute)
{
	_unref_(sessions) struct sessions *s = NULL;
	char token[WEB_SECRET_TEXT], cookie[WEB_SECRET_TEXT];

	CHECK(sodium_init() >= 0);
	CHECK_INT(sessions_new("/here", &s), 0);
	sessions_token(s, 100, token);
	CHECK_INT(sessions_redeem(s, token, 100 + WEB_TOKEN_S, cookie), -EACCES);
	sessions_token(s, 200, token);
	CHECK_INT(sessions_redeem(s, token, 201, cookie), 0);
	CHECK(strcmp(token, cookie) != 0);
	CHECK_INT(sessions_redeem(s, token, 202, cookie), -EACCES);
	CHECK_INT(sessions_count(s), 1);
}

static bool is_in(struct sessions *s, const char *format, const char *cookie, uint64_t now)
{
	char header[256];

	snprintf(header, sizeof(header), format, sessions_cookie_name(s), cookie);
	return sessions_find(s, header, now);
}

TEST(cookies)
{
	_unref_(sessions) struct sessions *s = NULL;
	char token[WEB_SECRET_TEXT], cookie[WEB_SECRET_TEXT];

	CHECK(sodium_init() >= 0);
	CHECK_INT(sessions_new("/here", &s), 0);
	sessions_token(s, 1, token);
	CHECK_INT(sessions_redeem(s, token, 1, cookie), 0);
	CHECK(is_in(s, "%s=%s", cookie, 2));
	CHECK(is_in(s, "a=b; %s=%s; c=d", cookie, 2));
	CHECK(!is_in(s, "x%s=%s", cookie, 2));
	CHECK(!is_in(s, "%s=%sA", cookie, 2));
	CHECK(!is_in(s, "%s=%.42s", cookie, 2));
	CHECK(!sessions_find(s, NULL, 2));
	CHECK(is_in(s, "%s=%s", cookie, WEB_IDLE_S));
	CHECK(!is_in(s, "%s=%s", cookie, 3 * WEB_IDLE_S));
}

static void note_end(uint64_t id, void *userdata)
{
	*(uint64_t *)userdata = *(uint64_t *)userdata * 100 + id;
}

TEST(the_oldest_session_goes)
{
	uint64_t ended = 0;
	_unref_(sessions) struct sessions *s = NULL;
	char token[WEB_SECRET_TEXT], first[WEB_SECRET_TEXT], cookie[WEB_SECRET_TEXT];

	CHECK(sodium_init() >= 0);
	CHECK_INT(sessions_new("/here", &s), 0);
	sessions_on_end(s, note_end, &ended);
	for (int i = 0; i <= WEB_SESSIONS_MAX; i++) {
		sessions_token(s, 1, token);
		CHECK_INT(sessions_redeem(s, token, 1, i == 0 ? first : cookie), 0);
	}
	CHECK_INT(sessions_count(s), WEB_SESSIONS_MAX);
	CHECK_INT(ended, 1);
	sessions_on_end(s, NULL, NULL);
	CHECK(!is_in(s, "%s=%s", first, 1));
	CHECK(is_in(s, "%s=%s", cookie, 1));
	CHECK_INT(sessions_end_all(s), WEB_SESSIONS_MAX);
	CHECK(!is_in(s, "%s=%s", cookie, 1));
}

TEST(what_ends_a_session_is_told)
{
	_unref_(sessions) struct sessions *s = NULL;
	char token[WEB_SECRET_TEXT], cookie[WEB_SECRET_TEXT];
	uint64_t ended = 0;

	CHECK(sodium_init() >= 0);
	CHECK_INT(sessions_new("/here", &s), 0);
	sessions_on_end(s, note_end, &ended);
	for (int i = 0; i < 2; i++) {
		sessions_token(s, 1, token);
		CHECK_INT(sessions_redeem(s, token, 1, cookie), 0);
	}
	sessions_touch(s, 2, WEB_IDLE_S);
	CHECK(is_in(s, "%s=%s", cookie, WEB_IDLE_S + 1));
	CHECK_INT(ended, 1); /* idle; the other one was looked at */
	CHECK_INT(sessions_end_all(s), 1);
	CHECK_INT(ended, 102);
}

TEST(durations)
{
	char text[VIEW_DURATION];

	CHECK_STR(view_duration(4, text), "4 s");
	CHECK_STR(view_duration(18 * 60 + 3, text), "18 min");
	CHECK_STR(view_duration(2 * 3600 + 12 * 60, text), "2h 12m");
	CHECK_STR(view_duration(6 * 86400 + 4 * 3600, text), "6d 4h");
}

static void check_state(const char *json, const char *state, const char *look)
{
	_json_ json_t *vm = json_loads(json, 0, NULL), *view = view_vm(vm, 0);

	CHECK_STR(json_string_value(json_object_get(view, "state")), state);
	CHECK_STR(json_string_value(json_object_get(view, "look")), look);
}

TEST(states)
{
	check_state("{\"state\": \"running\", \"ready\": true}", "running", "s-running");
	check_state("{\"state\": \"running\", \"ready\": false}", "not ready", "s-starting");
	check_state("{\"state\": \"running\", \"ready\": true, \"paused\": true}", "no space",
		"s-paused");
	check_state("{\"state\": \"paused\", \"ready\": true}", "paused", "s-paused");
	check_state("{\"state\": \"suspended\"}", "suspended", "s-suspended");
	check_state("{\"state\": \"resuming\"}", "resuming", "s-resuming");
	check_state("{\"state\": \"stopped\"}", "stopped", "s-stopped");
	check_state(
		"{\"state\": \"stopped\", \"error\": {\"message\": \"m\"}}", "failed", "s-failed");
	check_state("{\"state\": \"stopped\", \"error\": {\"code\": \"vm.session_ended\"}}",
		"stopped", "s-stopped");
	check_state("{\"state\": \"stopped\", \"missing\": \"/x\"}", "no disks", "s-failed");
	check_state("{}", "", "s-");
}
