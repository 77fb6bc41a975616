/* SPDX-License-Identifier: ISC */
/*
 * workspace_manifest.c: what was brought to a guest, as text: fields that each end with NUL, as
 * names may hold any other byte. It grows by sections: the first has all, each later one what
 * became different, and each ends with a token, the hash of the section and of the token before. So
 * the last token stands for the whole text, and a section that was cut off while it was written is
 * none. It is kept in the guest and so read back as a stranger's: it only ever decides what is sent
 * to that guest.
 */
#include <inttypes.h>
#include <stdio.h>

#include "cli/workspace.h"

#define MAGIC "banger-workspace 2"
#define TOKEN "token "

static const char *const modes[] = {[WS_SHALLOW] = "shallow", [WS_FULL_COPY] = "full_copy"};
_Static_assert(ARRAY_SIZE(modes) == WS_FULL_COPY + 1, "one name per mode");

struct reader {
	const char *at, *end;
};

/* The next field, or NULL. */
static const char *next(struct reader *r)
{
	const char *field = r->at;
	const char *nul = memchr(r->at, '\0', (size_t)(r->end - r->at));

	if (!nul)
		return NULL;
	r->at = nul + 1;
	return field;
}

/* What follows "key " in a field, or NULL. */
static const char *value(const char *field, const char *key)
{
	size_t len = strlen(key);

	return strncmp(field, key, len) == 0 && field[len] == ' ' ? field + len + 1 : NULL;
}

static void make_token(const char *before, const char *section, size_t len, char out[BG_SHA256_HEX])
{
	struct bg_sha256 hash;

	bg_sha256_init(&hash);
	bg_sha256_add(&hash, before, strlen(before));
	bg_sha256_add(&hash, section, len);
	bg_sha256_end(&hash, out);
}

/* Where the sections that are whole end; their last token, their size, the first one's size. */
static void find_end(const char *text, size_t len, struct ws_manifest *m)
{
	struct reader r = {text, text + len};
	const char *section = text, *field;

	while (r.at < r.end && (field = next(&r))) {
		char token[BG_SHA256_HEX];

		if (strncmp(field, TOKEN, strlen(TOKEN)) != 0)
			continue;
		make_token(m->token, section, (size_t)(field - section), token);
		if (!bg_streq(field + strlen(TOKEN), token))
			return;
		strcpy(m->token, token);
		section = r.at;
		m->len = (size_t)(section - text);
		if (m->first_len == 0)
			m->first_len = m->len;
	}
}

static int copy_oid(char out[GIT_OID_MAX], const char *text)
{
	if (*text && !git_oid_valid(text))
		return -EBADMSG;
	strcpy(out, text);
	return 0;
}

static int copy_hash(char out[BG_SHA256_HEX], const char *text)
{
	if (*text && (!git_oid_valid(text) || strlen(text) != 64))
		return -EBADMSG;
	strcpy(out, text);
	return 0;
}

static int copy_text(char **out, const char *text)
{
	free(*out);
	*out = strdup(text);
	return *out ? 0 : -ENOMEM;
}

static int copy_branch(struct ws_manifest *m, const char *text)
{
	if (strlen(text) >= sizeof(m->git.branch))
		return -EBADMSG;
	strcpy(m->git.branch, text);
	return 0;
}

static int copy_mode(struct ws_manifest *m, const char *text)
{
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
		if (bg_streq(modes[i], text)) {
			m->mode = (enum ws_mode)i;
			return 0;
		}
	return -EBADMSG;
}

/* Relative, and every part a name: what leads elsewhere is not taken even from our own guest. */
static bool path_ok(const char *path)
{
	for (const char *p = path; p; p = strchr(p, '/') ? strchr(p, '/') + 1 : NULL) {
		size_t len = strcspn(p, "/");

		if (len == 0 || (len == 1 && p[0] == '.') ||
			(len == 2 && p[0] == '.' && p[1] == '.'))
			return false;
	}
	return true;
}

static int add_file(struct ws_list *list, const struct ws_file *file, const char *path)
{
	struct ws_file f = *file;

	if (!path_ok(path))
		return -EBADMSG;
	f.path = strdup(path);
	return f.path ? ws_list_add(list, &f) : -ENOMEM;
}

/* "f 644 SIZE INO MTIME CTIME HASH path"; HASH of a directory is "-". */
static int parse_file(const char *field, unsigned round, struct ws_list *list)
{
	struct ws_file f = {.round = round};
	char type = 0, hash[BG_SHA256_HEX] = "";
	int n = 0;

	if (sscanf(field, "%c %" SCNo32 " %" SCNu64 " %" SCNu64 " %" SCNd64 " %" SCNd64 " %64s%n",
		    &type, &f.mode, &f.size, &f.ino, &f.mtime, &f.ctime, hash, &n) != 7 ||
		field[n] != ' ' || !strchr("fld", type) ||
		copy_hash(f.hash, type == WS_DIR ? "" : hash) < 0)
		return -EBADMSG;
	f.type = (enum ws_type)type;
	return add_file(list, &f, field + n + 1);
}

static int parse_field(const char *field, unsigned round, struct ws_manifest *m)
{
	const struct ws_file gone = {.type = WS_GONE, .round = round};
	const char *v;

	if (field[0] && field[1] == ' ')
		return field[0] == (char)WS_GONE ? add_file(&m->list, &gone, field + 2)
						 : parse_file(field, round, &m->list);
	if ((v = value(field, "head")))
		return copy_oid(m->git.head, v);
	if ((v = value(field, "branch")))
		return copy_branch(m, v);
	if ((v = value(field, "index")))
		return copy_hash(m->git.index, v);
	if ((v = value(field, "state")))
		return copy_hash(m->state, v);
	if ((v = value(field, "shallow")))
		return copy_text(&m->shallow, v);
	if ((v = value(field, "host")))
		return copy_text(&m->host, v);
	if ((v = value(field, "mode")))
		return copy_mode(m, v);
	return -EBADMSG;
}

static void drop_gone(struct ws_list *list)
{
	size_t n = 0;

	for (size_t i = 0; i < list->count; i++) {
		if (list->files[i].type == WS_GONE)
			free(list->files[i].path);
		else
			list->files[n++] = list->files[i];
	}
	for (size_t i = 0; i < n; i++)
		list->files[i].round = 0;
	list->count = n;
}

int ws_manifest_parse(const char *text, size_t len, struct ws_manifest *ret)
{
	struct reader reader;
	unsigned round = 0;
	int r = 0;

	*ret = (struct ws_manifest){.there = len > 0};
	if (len == 0)
		return 0;
	find_end(text, len, ret);
	reader = (struct reader){text, text + ret->len};
	ret->torn = ret->len < len;
	if (ret->len == 0 || !bg_streq(next(&reader), MAGIC))
		return -EBADMSG;
	while (r >= 0 && reader.at < reader.end) {
		const char *field = next(&reader);

		if (strncmp(field, TOKEN, strlen(TOKEN)) == 0)
			round++;
		else
			r = parse_field(field, round, ret);
	}
	if (r >= 0 && (!ret->host || !ret->shallow))
		r = -EBADMSG;
	ws_list_sort(&ret->list);
	drop_gone(&ret->list);
	return r;
}

static void print_file(FILE *out, const struct ws_file *f)
{
	fprintf(out, "%c %o %" PRIu64 " %" PRIu64 " %" PRId64 " %" PRId64 " %s %s", (char)f->type,
		f->mode, f->size, f->ino, f->mtime, f->ctime, *f->hash ? f->hash : "-", f->path);
	fputc('\0', out);
}

static void print_field(FILE *out, const char *key, const char *text)
{
	fprintf(out, "%s %s", key, text ? text : "");
	fputc('\0', out);
}

/* Adds the token that ends a section. The section, the caller's, or NULL; it takes text. */
static char *end_section(
	FILE *out, char **text, size_t *len, const char *before, char token[BG_SHA256_HEX])
{
	char *grown;

	if (fclose(out) != 0) {
		free(*text);
		return NULL;
	}
	make_token(before, *text, *len, token);
	grown = realloc(*text, *len + strlen(TOKEN) + BG_SHA256_HEX);
	if (!grown) {
		free(*text);
		return NULL;
	}
	*len += (size_t)sprintf(grown + *len, TOKEN "%s", token) + 1;
	return grown;
}

char *ws_manifest_print(struct ws_manifest *m, size_t *len)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, len);

	if (!out)
		return NULL;
	fputs(MAGIC, out);
	fputc('\0', out);
	print_field(out, "mode", modes[m->mode]);
	print_field(out, "host", m->host);
	print_field(out, "head", m->git.head);
	print_field(out, "branch", m->git.branch);
	print_field(out, "index", m->git.index);
	if (*m->state)
		print_field(out, "state", m->state);
	print_field(out, "shallow", m->shallow);
	for (size_t i = 0; i < m->list.count; i++)
		print_file(out, &m->list.files[i]);
	text = end_section(out, &text, len, "", m->token);
	m->len = m->first_len = *len;
	return text;
}

static bool same_file(const struct ws_file *a, const struct ws_file *b)
{
	return a->type == b->type && a->mode == b->mode && a->size == b->size && a->ino == b->ino &&
	       a->mtime == b->mtime && a->ctime == b->ctime && bg_streq(a->hash, b->hash);
}

/* Both are sorted. */
static void print_changes(FILE *out, const struct ws_list *before, const struct ws_list *now)
{
	size_t i = 0, j = 0;

	while (i < before->count || j < now->count) {
		const struct ws_file *a = i < before->count ? &before->files[i] : NULL;
		const struct ws_file *b = j < now->count ? &now->files[j] : NULL;
		int order = !a ? 1 : !b ? -1 : strcmp(a->path, b->path);

		if (order < 0)
			print_field(out, "-", a->path);
		else if (order > 0 || !same_file(a, b))
			print_file(out, b);
		i += order <= 0;
		j += order >= 0;
	}
}

bool ws_manifest_extends(const struct ws_manifest *before, const struct ws_manifest *now)
{
	return before->there && !before->torn && *before->token && before->mode == now->mode &&
	       bg_streq(before->host, now->host);
}

char *ws_manifest_print_changes(
	const struct ws_manifest *before, struct ws_manifest *now, size_t *len)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, len);

	if (!out)
		return NULL;
	if (!bg_streq(before->git.head, now->git.head))
		print_field(out, "head", now->git.head);
	if (!bg_streq(before->git.branch, now->git.branch))
		print_field(out, "branch", now->git.branch);
	if (!bg_streq(before->git.index, now->git.index))
		print_field(out, "index", now->git.index);
	if (!bg_streq(before->state, now->state))
		print_field(out, "state", now->state);
	if (!bg_streq(before->shallow, now->shallow))
		print_field(out, "shallow", now->shallow);
	print_changes(out, &before->list, &now->list);
	text = end_section(out, &text, len, before->token, now->token);
	now->len = before->len + *len;
	now->first_len = before->first_len;
	return text;
}

void ws_manifest_done(struct ws_manifest *m)
{
	free(m->host);
	free(m->shallow);
	ws_list_done(&m->list);
	m->host = m->shallow = NULL;
}
