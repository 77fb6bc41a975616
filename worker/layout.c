/* SPDX-License-Identifier: ISC */
/*
 * The layout job: one document of an OCI layout on disk (index.json, an index, an image manifest, a
 * config), checked against the digest that named it. The caller opens the next file that the
 * answer names: no path gets in here.
 */
#include <stdio.h>

#include "common/fd.h"
#include "worker/manifest.h"

#define REF_NAME "org.opencontainers.image.ref.name"
#define LATEST	 "latest"
#define SHOWN	 10 /* tags named in a message */

struct document {
	const char *name;   /* the image, for messages */
	const char *digest; /* that it must have, or NULL */
	char *text;
	size_t len;
};

static int read_document(struct job *job, struct document *d, struct bg_err **err)
{
	char has[BG_OCI_DIGEST + 1];
	int r = bg_json_need_str(job->params, "name", BG_ERR_WORKER, &d->name, err);

	if (r >= 0)
		r = bg_json_or_str(job->params, "digest", BG_ERR_WORKER, &d->digest, err);
	if (r < 0)
		return r;
	r = bg_read_fd(job->fd[0], MANIFEST_MAX, &d->text, &d->len);
	if (r == -EFBIG)
		return bg_err_set(err, BG_ERR_REGISTRY_INVALID, EFBIG,
			"%s: %s is over 4 MiB: that is not a manifest", d->name,
			d->digest ? d->digest : "index.json");
	if (r < 0)
		return bg_err_sys(err, BG_ERR_WORKER, -r, "%s: read it", d->name);
	if (!d->digest)
		return 0;
	r = manifest_digest(d->text, d->len, has, err);
	if (r < 0 || bg_streq(has, d->digest))
		return r;
	return bg_err_set(err, BG_ERR_NET_DIGEST, EBADMSG, "%s is damaged: the file of %s has %s",
		d->name, d->digest, has);
}

static const char *tag_of(const json_t *entry)
{
	const char *tag = NULL;

	(void)bg_json_get_str(json_object_get(entry, "annotations"), REF_NAME, &tag);
	return tag;
}

static bool has_tag(const json_t *list, const char *tag)
{
	const json_t *entry;
	size_t i;

	json_array_foreach (list, i, entry)
		if (bg_streq(tag_of(entry), tag))
			return true;
	return false;
}

/* All entries are of one image: one tag, or none at all. */
static bool is_one(const json_t *list)
{
	const char *first = tag_of(json_array_get(list, 0));
	const json_t *entry;
	size_t i;

	json_array_foreach (list, i, entry)
		if (!bg_streq(tag_of(entry), first))
			return false;
	return true;
}

static int which(const json_t *list, const char *name, const char *tag, struct bg_err **err)
{
	char tags[512] = "none";
	size_t i, len = 0, shown = 0;
	const json_t *entry;

	json_array_foreach (list, i, entry) {
		const char *t = tag_of(entry);

		if (t && shown++ < SHOWN)
			len += (size_t)snprintf(
				tags + len, sizeof(tags) - len, "%s%.40s", len ? ", " : "", t);
	}
	if (tag)
		bg_err_set(err, BG_ERR_REGISTRY_NOT_FOUND, ENOENT,
			"%s has no image \"%.100s\"; it has: %s", name, tag, tags);
	else
		bg_err_set(err, BG_ERR_REGISTRY_NOT_FOUND, ENOENT,
			"%s has several images: which one of %s?", name, tags);
	bg_err_hint(err, "name one: oci:DIR:TAG");
	return -ENOENT;
}

/* Leaves in doc's list what has the tag. */
static int choose(json_t *doc, const char *name, const char *tag, struct bg_err **err)
{
	json_t *list = json_object_get(doc, "manifests");

	if (!json_is_array(list))
		return bg_err_set(err, BG_ERR_REGISTRY_INVALID, EBADMSG,
			"%s is not an OCI layout: its index.json lists no manifests", name);
	if (!tag && is_one(list))
		return 0;
	if (!tag && has_tag(list, LATEST))
		tag = LATEST;
	if (!tag || !has_tag(list, tag))
		return which(list, name, tag, err);
	for (size_t i = json_array_size(list); i-- > 0;)
		if (!bg_streq(tag_of(json_array_get(list, i)), tag))
			json_array_remove(list, i);
	return 0;
}

static int top(
	const struct document *d, const char *tag, struct manifest **ret, struct bg_err **err)
{
	_json_ json_t *doc = json_loadb(d->text, d->len, JSON_REJECT_DUPLICATES, NULL);
	_free_ char *text = NULL;
	int r = choose(doc, d->name, tag, err);

	if (r < 0)
		return r;
	text = json_dumps(doc, JSON_COMPACT);
	if (!text)
		return bg_err_sys(err, BG_ERR_WORKER, ENOMEM, "read a manifest");
	return manifest_parse(
		text, strlen(text), "application/vnd.oci.image.index.v1+json", d->name, ret, err);
}

static json_t *print(const struct descriptor *d)
{
	return json_pack("{s:s, s:I}", "digest", d->digest, "size", (json_int_t)d->size);
}

static json_t *describe(const struct manifest *m, const char *digest)
{
	json_t *layers;

	if (m->index)
		return json_pack("{s:o}", "next", print(&m->next));
	layers = json_array();
	for (size_t i = 0; i < m->n_layers; i++)
		json_array_append_new(layers, print(&m->layers[i]));
	return json_pack("{s:s?, s:o, s:o, s:I}", "digest", digest, "config", print(&m->config),
		"layers", layers, "size", (json_int_t)m->size);
}

static int look(struct job *job, const struct document *d, json_t **ret, struct bg_err **err)
{
	_free_ struct manifest *m = NULL;
	_json_ json_t *env = NULL;
	const char *kind, *tag = NULL;
	int r = bg_json_need_str(job->params, "kind", BG_ERR_WORKER, &kind, err);

	if (r >= 0)
		r = bg_json_or_str(job->params, "tag", BG_ERR_WORKER, &tag, err);
	if (r < 0)
		return r;
	if (bg_streq(kind, "config")) {
		r = manifest_check_config(d->text, d->len, d->name, &env, err);
		if (r >= 0)
			*ret = json_pack("{s:O*}", "env", env);
		return r;
	}
	if (bg_streq(kind, "top"))
		r = top(d, tag, &m, err);
	else
		r = manifest_parse(d->text, d->len, NULL, d->name, &m, err);
	if (r >= 0)
		*ret = describe(m, d->digest);
	return r;
}

int job_layout(struct job *job, json_t **ret, struct bg_err **err)
{
	struct document d = {};
	int r = read_document(job, &d, err);

	if (r >= 0)
		r = look(job, &d, ret, err);
	free(d.text);
	return r;
}
