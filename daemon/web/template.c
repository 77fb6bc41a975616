/* SPDX-License-Identifier: ISC */
/* template.c: One pass over the text; a section is a call of itself. */
#include "daemon/web/template.h"

enum { DEPTH_MAX = 12, NAME_MAX_ = 48 };

struct frame {
	const json_t *value;
	const struct frame *outer;
};

struct render {
	FILE *out;
	template_part_fn part;
	unsigned depth;
};

struct tag {
	char kind; /* '#', '^', '/', '>' or 0 */
	char name[NAME_MAX_];
	const char *begin, *end; /* of the whole of it */
};

static const char *entity(unsigned char c)
{
	switch (c) {
	case '&':
		return "&amp;";
	case '<':
		return "&lt;";
	case '>':
		return "&gt;";
	case '"':
		return "&quot;";
	case '\'':
		return "&#39;";
	default:
		return NULL;
	}
}

/* The code point of two or three bytes that must be seen as such; 0: none. C1 controls and marks that change direction. */
static unsigned hidden(const unsigned char *p, unsigned *len)
{
	unsigned c;

	if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f) {
		*len = 2;
		return p[1];
	}
	if (p[0] == 0xd8 && p[1] == 0x9c) {
		*len = 2;
		return 0x61c;
	}
	if (p[0] != 0xe2 || !p[1] || !p[2])
		return 0;
	c = 0x2000u | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
	*len = 3;
	return c == 0x200e || c == 0x200f || c == 0x2028 || c == 0x2029 ||
			       (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069)
		       ? c
		       : 0;
}

/* One character that is not markup; returns its bytes. */
static unsigned put_clean(const unsigned char *p, FILE *out)
{
	unsigned len = 1, code = hidden(p, &len);

	if ((*p < 0x20 && *p != '\n' && *p != '\t') || *p == 0x7f)
		fprintf(out, "^%c", *p ^ 0x40);
	else if (code)
		fprintf(out, "\\u%04x", code);
	else {
		fputc(*p, out);
		return 1;
	}
	return len;
}

void template_clean(const char *text, FILE *out)
{
	for (const unsigned char *p = (const unsigned char *)text; *p;)
		p += put_clean(p, out);
}

void template_escape(const char *text, FILE *out)
{
	const unsigned char *p = (const unsigned char *)text;

	while (*p) {
		const char *e = entity(*p);

		if (e) {
			fputs(e, out);
			p++;
		} else {
			p += put_clean(p, out);
		}
	}
}

static const json_t *look_up(const struct frame *frame, const char *name)
{
	const json_t *value;

	if (bg_streq(name, "."))
		return frame->value;
	for (; frame; frame = frame->outer) {
		value = json_object_get(frame->value, name);
		if (value)
			return value;
	}
	return NULL;
}

static void put(const struct render *r, const json_t *value)
{
	if (json_is_string(value))
		template_escape(json_string_value(value), r->out);
	else if (json_is_integer(value))
		fprintf(r->out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
}

static bool is_on(const json_t *value)
{
	if (json_is_string(value))
		return json_string_length(value) > 0;
	if (json_is_integer(value))
		return json_integer_value(value) != 0;
	return json_is_true(value) || json_is_object(value) || json_array_size(value) > 0;
}

/* The next tag at or after p and before end; 0: none; -EINVAL. */
static int next_tag(const char *p, const char *end, struct tag *ret)
{
	const char *open = memmem(p, (size_t)(end - p), "{{", 2), *close;
	size_t len;

	if (!open)
		return 0;
	close = memmem(open, (size_t)(end - open), "}}", 2);
	if (!close)
		return -EINVAL;
	*ret = (struct tag){.begin = open, .end = close + 2};
	open += 2;
	if (strchr("#^/>", *open))
		ret->kind = *open++;
	len = (size_t)(close - open);
	if (len == 0 || len >= NAME_MAX_)
		return -EINVAL;
	memcpy(ret->name, open, len);
	return 1;
}

/* Where the section that begins with tag ends: *ret is its closing tag. */
static int find_end(const struct tag *tag, const char *end, struct tag *ret)
{
	unsigned depth = 1;

	for (const char *p = tag->end; next_tag(p, end, ret) > 0; p = ret->end) {
		if (!bg_streq(ret->name, tag->name))
			continue;
		if (ret->kind == '#' || ret->kind == '^')
			depth++;
		else if (ret->kind == '/' && --depth == 0)
			return 0;
	}
	return -EINVAL;
}

static int render(struct render *r, const char *p, const char *end, const struct frame *frame);

static int section(
	struct render *r, const struct tag *tag, const struct tag *close, const struct frame *frame)
{
	const json_t *value = look_up(frame, tag->name), *item;
	int rc = 0;
	size_t i;

	if (tag->kind == '^')
		return is_on(value) ? 0 : render(r, tag->end, close->begin, frame);
	if (!is_on(value))
		return 0;
	if (!json_is_array(value))
		return render(r, tag->end, close->begin,
			json_is_object(value) ? &(struct frame){value, frame} : frame);
	json_array_foreach (value, i, item)
		if (rc >= 0)
			rc = render(r, tag->end, close->begin, &(struct frame){item, frame});
	return rc;
}

static int part(struct render *r, const char *name, const struct frame *frame)
{
	const char *text = r->part ? r->part(name) : NULL;

	return text ? render(r, text, text + strlen(text), frame) : -EINVAL;
}

/* *p: behind the tag and all that belongs to it. */
static int handle(struct render *r, const struct tag *tag, const char *end,
	const struct frame *frame, const char **p)
{
	struct tag close;

	*p = tag->end;
	if (tag->kind == 0)
		put(r, look_up(frame, tag->name));
	else if (tag->kind == '>')
		return part(r, tag->name, frame);
	else if (tag->kind == '/' || find_end(tag, end, &close) < 0)
		return -EINVAL;
	else {
		*p = close.end;
		return section(r, tag, &close, frame);
	}
	return 0;
}

static int render(struct render *r, const char *p, const char *end, const struct frame *frame)
{
	struct tag tag;
	int rc = r->depth++ < DEPTH_MAX ? 0 : -EINVAL;

	while (rc >= 0 && (rc = next_tag(p, end, &tag)) > 0) {
		fwrite(p, 1, (size_t)(tag.begin - p), r->out);
		rc = handle(r, &tag, end, frame, &p);
	}
	if (rc >= 0)
		fwrite(p, 1, (size_t)(end - p), r->out);
	r->depth--;
	return rc;
}

int template_render(const char *text, const json_t *view, template_part_fn part_fn, FILE *out)
{
	struct render r = {.out = out, .part = part_fn};

	return render(&r, text, text + strlen(text), &(struct frame){view, NULL});
}
