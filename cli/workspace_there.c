/* SPDX-License-Identifier: ISC */
/*
 * workspace_there.c: Reads what the agent and git print line by line; a guest that prints anything
 * else is an error, never a guess.
 */
#include "cli/workspace_there.h"

#include "cli/child.h"
#include "cli/workspace_memory.h"
#include "common/fd.h"

#define OUTPUT_MAX (256 * MIB)

/* Plain sh, for busybox too. */
static const char git_script[] = "p=$1; command -v git >/dev/null 2>&1 || { echo nogit; exit 0; }\n"
				 "b=$(git -C \"$p\" symbolic-ref -q HEAD) || b=\n"
				 "h=$(git -C \"$p\" rev-parse -q --verify HEAD) || h=\n"
				 "i=$(git -C \"$p\" ls-files -z --stage | sha256sum | cut -c1-64)\n"
				 "printf 'git %s %s %s\\n' \"${i:--}\" \"${h:--}\" \"${b:--}\"\n";

static int out_of_memory(struct bg_err **err)
{
	return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
}

int ws_script(const struct guest *g, const char *what, const struct guest_script *s, char **ret,
	size_t *len, struct bg_err **err)
{
	_close_ int out = child_memory("guest");
	struct guest_script script = *s;
	_free_ char *said = NULL, *joined = NULL, *clean = NULL;
	int r;

	if (out < 0)
		return out_of_memory(err);
	script.out = out;
	script.out_max = OUTPUT_MAX;
	r = guest_run(g, &script, &said, err);
	if (r < 0)
		return r;
	joined = git_complaint(said);
	clean = term_clean(joined ? joined : "");
	if (r > 0)
		return bg_err_set(err, BG_ERR_WORKSPACE, EIO,
			"%s in %s failed with status %d%s%.300s", what, g->name, r,
			bg_isempty(clean) ? "" : ": ", clean ? clean : "");
	r = child_output(out, OUTPUT_MAX, ret, len);
	return r < 0 ? bg_err_sys(err, BG_ERR_WORKSPACE, -r, "read what %s told", g->name) : 0;
}

int ws_confused(const struct guest *g, const char *what, struct bg_err **err)
{
	return bg_err_set(err, BG_ERR_WORKSPACE, EPROTO, "%s told %s in a way that makes no sense",
		g->name, what);
}

/* Takes a line off *text; NULL when there is none. */
static char *take_line(char **text)
{
	char *line = *text, *end = line ? strchr(line, '\n') : NULL;

	if (!end)
		return NULL;
	*end = '\0';
	*text = end + 1;
	return line;
}

static int parse_record(const struct guest *g, const char *guest_path, const char *text, size_t len,
	struct ws_manifest *ret, struct bg_err **err)
{
	int r = ws_manifest_parse(text, len, ret);

	if (r >= 0) {
		if (!ret->torn)
			ws_memory_keep(g, guest_path, text, len, false);
		return 0;
	}
	r = bg_err_set(err, BG_ERR_WORKSPACE, EBADMSG,
		"the record of what was brought to %s cannot be read", g->name);
	bg_err_hint(err, "remove it, and compare by hand: `banger vm ssh %s -- rm -r .banger`",
		g->name);
	return r;
}

/* remembered is taken when the guest says that it has the same. */
static int parse_look(const struct guest *g, const char *guest_path, char *text, size_t len,
	struct ws_manifest *remembered, struct ws_there *ret, struct bg_err **err)
{
	static const char *const kinds[] = {[WS_NOTHING] = "nothing",
		[WS_EMPTY] = "empty",
		[WS_FOLDER] = "folder",
		[WS_OTHER] = "other"};
	const char *end = text + len, *kind = take_line(&text), *git = take_line(&text),
		   *record = take_line(&text);
	size_t i = 0;

	while (i < ARRAY_SIZE(kinds) && !bg_streq(kinds[i], kind))
		i++;
	if (i == ARRAY_SIZE(kinds) || !record ||
		(!bg_streq(git, "git") && !bg_streq(git, "kept") && !bg_streq(git, "none")))
		return ws_confused(g, "what is there", err);
	ret->kind = (int)i;
	ret->kept = bg_streq(git, "kept");
	ret->repo = ret->kept || bg_streq(git, "git");
	if (bg_streq(record, "record"))
		return parse_record(g, guest_path, text, (size_t)(end - text), &ret->manifest, err);
	if (bg_streq(record, "same") && *remembered->token) {
		ret->manifest = *remembered;
		*remembered = (struct ws_manifest){.there = false};
		return 0;
	}
	return bg_streq(record, "none") ? 0 : ws_confused(g, "what is there", err);
}

int ws_look(
	const struct guest *g, const char *guest_path, struct ws_there *ret, struct bg_err **err)
{
	struct ws_manifest remembered;
	const char *const words[] = {"look", guest_path, remembered.token, NULL};
	struct guest_script s = {.kind = GUEST_WORKSPACE, .words = words, .in = GUEST_NONE};
	_free_ char *text = NULL;
	size_t len = 0;
	int r;

	*ret = (struct ws_there){.kind = WS_NOTHING};
	ws_memory_read(g, guest_path, &remembered);
	r = ws_script(g, "looking around", &s, &text, &len, err);
	if (r >= 0)
		r = parse_look(g, guest_path, text, len, &remembered, ret, err);
	ws_manifest_done(&remembered);
	return r;
}

static bool parse_git(const char *line, struct ws_there *ret)
{
	char index[80], head[80], branch[sizeof(ret->git.branch)];

	if (bg_streq(line, "nogit"))
		return true;
	if (!line || sscanf(line, "git %79s %79s %511s", index, head, branch) != 3)
		return false;
	ret->has_git = true;
	if (strlen(index) == 64)
		strcpy(ret->git.index, index);
	if (git_oid_valid(head))
		strcpy(ret->git.head, head);
	strcpy(ret->git.branch, bg_streq(branch, "-") ? "" : branch);
	return true;
}

int ws_look_git(
	const struct guest *g, const char *guest_path, struct ws_there *ret, struct bg_err **err)
{
	const char *const words[] = {guest_path, NULL};
	struct guest_script s = {.text = git_script, .words = words, .in = GUEST_NONE};
	_free_ char *text = NULL;
	char *at;
	size_t len = 0;
	int r = ws_script(g, "asking git", &s, &text, &len, err);

	if (r < 0)
		return r;
	at = text;
	return parse_git(take_line(&at), ret) ? 0 : ws_confused(g, "the state of its git", err);
}

int ws_check(const struct guest *g, const char *guest_path, int names, size_t count,
	struct bg_copy_state *ret, struct bg_err **err)
{
	const char *const words[] = {"check", guest_path, NULL};
	struct guest_script s = {.kind = GUEST_WORKSPACE, .words = words, .in = names};
	_free_ char *text = NULL;
	const char *at;
	size_t len = 0;
	int r = ws_script(g, "looking at files", &s, &text, &len, err);

	if (r < 0)
		return r;
	at = text;
	return ws_states_parse(&at, count, ret) < 0 || *at
		       ? ws_confused(g, "the state of its files", err)
		       : 0;
}
