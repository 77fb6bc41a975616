/* SPDX-License-Identifier: ISC */
/*
 * workspace_manifest.c: what was brought to a guest, as text: fields that each end with NUL, as
 * names may hold any other byte. It is kept in the guest and so read back as a stranger's: it only
 * ever decides what is sent to that guest.
 */
#include <inttypes.h>
#include <stdio.h>

#include "cli/workspace.h"

#define MAGIC "banger-workspace 1"

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

/* What follows "key " in the next field, or NULL. */
static const char *value(struct reader *r, const char *key)
{
	const char *field = next(r);
	size_t len = strlen(key);

	return field && strncmp(field, key, len) == 0 && field[len] == ' ' ? field + len + 1 : NULL;
}

static bool copy_oid(char out[GIT_OID_MAX], const char *text)
{
	if (!text || (*text && !git_oid_valid(text)))
		return false;
	strcpy(out, text);
	return true;
}

static bool copy_hash(char out[BG_SHA256_HEX], const char *text)
{
	if (!text || (*text && (!git_oid_valid(text) || strlen(text) != 64)))
		return false;
	strcpy(out, text);
	return true;
}

static int parse_head(struct reader *r, struct ws_manifest *m)
{
	const char *mode = value(r, "mode"), *host = value(r, "host"), *head = value(r, "head");
	const char *branch = value(r, "branch"), *index = value(r, "index"),
		   *shallow = value(r, "shallow");

	for (m->mode = WS_SHALLOW; !bg_streq(modes[m->mode], mode); m->mode++)
		if (m->mode == WS_FULL_COPY)
			return -EBADMSG;
	if (!host || !branch || !shallow || strlen(branch) >= sizeof(m->git.branch) ||
		!copy_oid(m->git.head, head) || !copy_hash(m->git.index, index))
		return -EBADMSG;
	strcpy(m->git.branch, branch);
	m->host = strdup(host);
	m->shallow = strdup(shallow);
	return m->host && m->shallow ? 0 : -ENOMEM;
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

/* "f 644 SIZE INO MTIME CTIME HASH path"; HASH of a directory is "-". */
static int parse_file(const char *field, struct ws_list *list)
{
	struct ws_file f = {.size = 0};
	char type = 0, hash[BG_SHA256_HEX] = "";
	int n = 0;

	if (sscanf(field, "%c %" SCNo32 " %" SCNu64 " %" SCNu64 " %" SCNd64 " %" SCNd64 " %64s%n",
		    &type, &f.mode, &f.size, &f.ino, &f.mtime, &f.ctime, hash, &n) != 7 ||
		field[n] != ' ' || !strchr("fld", type) || !path_ok(field + ++n) ||
		!copy_hash(f.hash, type == WS_DIR ? "" : hash))
		return -EBADMSG;
	f.type = (enum ws_type)type;
	f.path = strdup(field + n);
	return f.path ? ws_list_add(list, &f) : -ENOMEM;
}

int ws_manifest_parse(const char *text, size_t len, struct ws_manifest *ret)
{
	struct reader reader = {text, text + len};
	const char *field;
	int r = 0;

	*ret = (struct ws_manifest){.there = len > 0};
	if (len == 0)
		return 0;
	if (!bg_streq(next(&reader), MAGIC))
		return -EBADMSG;
	r = parse_head(&reader, ret);
	while (r >= 0 && reader.at < reader.end) {
		field = next(&reader);
		r = field ? parse_file(field, &ret->list) : -EBADMSG;
	}
	ws_list_sort(&ret->list);
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

char *ws_manifest_print(const struct ws_manifest *m, size_t *len)
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
	print_field(out, "shallow", m->shallow);
	for (size_t i = 0; i < m->list.count; i++)
		print_file(out, &m->list.files[i]);
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}

void ws_manifest_done(struct ws_manifest *m)
{
	free(m->host);
	free(m->shallow);
	ws_list_done(&m->list);
	m->host = m->shallow = NULL;
}
