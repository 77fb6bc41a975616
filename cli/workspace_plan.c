/* SPDX-License-Identifier: ISC */
/*
 * workspace_plan.c: from what was brought last and what is here now, what is to be done; from what
 * is there now, whether that may be done. Reads files of the checkout to hash them, nothing else.
 */
#include <stdio.h>

#include "cli/workspace.h"

bool ws_git_equal(const struct ws_git *a, const struct ws_git *b)
{
	return bg_streq(a->head, b->head) && bg_streq(a->branch, b->branch) &&
	       bg_streq(a->index, b->index);
}

static bool same_stat(const struct ws_file *a, const struct ws_file *b)
{
	return a->type == b->type && a->size == b->size && a->ino == b->ino &&
	       a->mtime == b->mtime && a->ctime == b->ctime && a->ctime != 0;
}

static bool same_content(const struct ws_file *a, const struct ws_file *b)
{
	return a->type == b->type && (a->type == WS_LINK || a->mode == b->mode) &&
	       bg_streq(a->hash, b->hash);
}

/* Whether it travels: 1 or 0, or -errno. Its hash is known afterwards unless it is new there. */
static int changed(
	const struct ws_tree *tree, struct ws_file *now, const struct ws_file *before, bool *restat)
{
	int r;

	if (!before || now->type == WS_DIR)
		return !before || before->type != now->type;
	if (same_stat(now, before) && *before->hash) {
		strcpy(now->hash, before->hash);
		return now->type == WS_FILE && now->mode != before->mode;
	}
	r = ws_tree_hash(tree, now);
	if (r < 0)
		return r;
	*restat = true;
	return !same_content(now, before);
}

static int plan_puts(struct ws_tree *tree, const struct ws_manifest *m, struct ws_plan *plan,
	struct bg_err **err)
{
	for (size_t i = 0; i < tree->list.count; i++) {
		struct ws_file *f = &tree->list.files[i];
		int r = changed(tree, f, ws_list_find(&m->list, f->path), &plan->restat);

		if (r < 0)
			return bg_err_sys(
				err, BG_ERR_IO, -r, "read %s/%s", tree->repo.top, f->path);
		if (r > 0)
			plan->put[plan->put_count++] = f;
		else
			plan->same++;
	}
	return 0;
}

static void plan_gone(const struct ws_tree *tree, const struct ws_manifest *m, struct ws_plan *plan)
{
	for (size_t i = 0; i < m->list.count; i++) {
		const struct ws_file *f = &m->list.files[i];

		if (ws_list_find(&tree->list, f->path))
			continue;
		if (ws_tree_has_file(tree, f->path) && f->type != WS_DIR)
			plan->kept[plan->kept_count++] = f;
		else
			plan->gone[plan->gone_count++] = f;
	}
}

int ws_plan_make(
	struct ws_tree *tree, const struct ws_manifest *m, struct ws_plan *ret, struct bg_err **err)
{
	*ret = (struct ws_plan){
		.put = calloc(tree->list.count + 1, sizeof(*ret->put)),
		.gone = calloc(m->list.count + 1, sizeof(*ret->gone)),
		.kept = calloc(m->list.count + 1, sizeof(*ret->kept)),
	};
	if (!ret->put || !ret->gone || !ret->kept)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	plan_gone(tree, m, ret);
	ret->git = tree->mode == WS_SHALLOW &&
		   (!m->there || !ws_git_equal(&tree->git, &m->git) ||
			   (*m->state && !bg_streq(m->state, tree->state)));
	return plan_puts(tree, m, ret, err);
}

void ws_plan_done(struct ws_plan *plan)
{
	free(plan->put);
	free(plan->gone);
	free(plan->kept);
	*plan = (struct ws_plan){.put = NULL};
}

int ws_states_parse(const char **text, size_t count, struct bg_copy_state *ret)
{
	const char *p = *text;

	for (size_t i = 0; i < count; i++)
		if (!bg_copy_state_take(&p, &ret[i]) || *p++ != '\n')
			return -EBADMSG;
	*text = p;
	return 0;
}

struct bg_copy_state ws_state_of(const struct ws_file *f)
{
	struct bg_copy_state s = {.type = f ? (char)f->type : '-'};

	if (f && f->type != WS_DIR)
		strcpy(s.hash, f->hash);
	return s;
}

static bool plain(const unsigned char *s)
{
	for (; *s; s++) {
		unsigned n = *s < 0x80		       ? 0
			     : *s >= 0xc2 && *s < 0xe0 ? 1
			     : *s >= 0xe0 && *s < 0xf0 ? 2
			     : *s >= 0xf0 && *s < 0xf5 ? 3
						       : 9;

		if (*s < 0x20 || *s == 0x7f || *s == '"' || *s == '\\' || n > 3 ||
			(*s == 0xc2 && s[1] < 0xa0))
			return false;
		for (; n > 0; n--)
			if ((*++s & 0xc0) != 0x80)
				return false;
	}
	return true;
}

char *ws_quote(const char *name)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f;

	if (plain((const unsigned char *)name))
		return strdup(name);
	f = open_memstream(&text, &len);
	if (!f)
		return NULL;
	fputc('"', f);
	for (const unsigned char *s = (const unsigned char *)name; *s; s++) {
		if (*s == '"' || *s == '\\')
			fprintf(f, "\\%c", *s);
		else if (*s == '\n' || *s == '\t')
			fputs(*s == '\n' ? "\\n" : "\\t", f);
		else if (*s < 0x20 || *s >= 0x7f)
			fprintf(f, "\\%03o", *s);
		else
			fputc(*s, f);
	}
	fputc('"', f);
	return fclose(f) == 0 ? text : NULL;
}
