/* SPDX-License-Identifier: ISC */
/*
 * render.c: Output for people. The width is measured once; a table drops columns before it cuts
 * words.
 */
#include "cli/render.h"

#include <stdarg.h>
#include <sys/ioctl.h>
#include <time.h>

#include "common/helper_hint.h"
#include "common/json.h"
#include "common/size.h"

enum { COLUMNS_MAX = 12, GAP = 2, LABEL_WIDTH = 12 };

void term_resize(struct term *t)
{
	struct winsize ws = {0};

	t->width = 0;
	if (t->tty)
		t->width =
			ioctl(fileno(t->file), TIOCGWINSZ, &ws) >= 0 && ws.ws_col ? ws.ws_col : 80;
}

/* As setlocale(3) picks it; what names no charset is ASCII. */
static bool locale_is_utf8(void)
{
	static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *value = getenv(names[i]);

		if (!bg_isempty(value))
			return strcasestr(value, "utf-8") || strcasestr(value, "utf8");
	}
	return false;
}

/* What is printed goes to a terminal that cannot show more than that. */
static bool ascii_only;

void term_init(struct term *t, FILE *file)
{
	const char *no_color = getenv("NO_COLOR"), *name = getenv("TERM");

	*t = (struct term){.file = file, .tty = isatty(fileno(file)) == 1};
	t->color = t->tty && bg_isempty(no_color) && !bg_isempty(name) && !bg_streq(name, "dumb");
	term_resize(t);
	if (file == stdout)
		ascii_only = t->tty && !locale_is_utf8();
}

const char *term_style(const struct term *t, enum style style)
{
	static const char *const codes[] = {
		[STYLE_PLAIN] = "",
		[STYLE_BOLD] = "\033[1m",
		[STYLE_DIM] = "\033[2m",
		[STYLE_RED] = "\033[31m",
		[STYLE_GREEN] = "\033[32m",
		[STYLE_YELLOW] = "\033[33m",
		[STYLE_CYAN] = "\033[36m",
	};

	return t->color ? codes[style] : "";
}

const char *term_plain(const struct term *t)
{
	return t->color ? "\033[0m" : "";
}

/* One '?' for each character, however many bytes it has. */
static void to_ascii(char *s)
{
	char *to = s;

	for (; *s; s++)
		if ((unsigned char)*s < 0x80)
			*to++ = *s;
		else if ((unsigned char)*s >= 0xc0)
			*to++ = '?';
	*to = '\0';
}

char *term_clean(const char *s)
{
	char *copy = strdup(s ? s : "");

	if (!copy)
		return NULL;
	for (unsigned char *p = (unsigned char *)copy; *p; p++) {
		/* C0, DEL, and C1 in its UTF-8 form (c2 80..9f), which terminals obey too. */
		if (*p < 0x20 || *p == 0x7f)
			*p = '?';
		else if (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0)
			*p = p[1] = '?';
	}
	if (ascii_only)
		to_ascii(copy);
	return copy;
}

static bool is_start(char c)
{
	return ((unsigned char)c & 0xc0) != 0x80;
}

int term_columns(const char *s)
{
	int n = 0;

	for (; *s; s++)
		n += is_start(*s);
	return n;
}

int term_put(FILE *f, const char *s, int max)
{
	int columns = term_columns(s), keep = columns, n = 0;
	const char *end = s;

	if (max > 0 && columns > max)
		keep = max > 3 ? max - 3 : max;
	for (; *end && (n < keep || !is_start(*end)); end++)
		n += is_start(*end);
	fwrite(s, 1, (size_t)(end - s), f);
	if (keep < columns && max > 3)
		return fputs("...", f), keep + 3;
	return keep;
}

struct cell {
	char *text;
	enum style style;
};

struct table {
	const struct column *columns;
	size_t count;
	struct cell *cells;
	size_t used, room;
	int width[COLUMNS_MAX]; /* as decided by fit; 0: left out */
};

struct table *table_new(const struct column *columns, size_t count)
{
	struct table *t = calloc(1, sizeof(*t));

	if (!t || count > COLUMNS_MAX)
		abort();
	t->columns = columns;
	t->count = count;
	return t;
}

void table_free(struct table *t)
{
	for (size_t i = 0; t && i < t->used; i++)
		free(t->cells[i].text);
	if (t)
		free(t->cells);
	free(t);
}

void table_cell(struct table *t, enum style style, const char *fmt, ...)
{
	_free_ char *text = NULL;
	va_list ap;

	if (t->used == t->room) {
		size_t room = t->room ? t->room * 2 : 64;
		struct cell *cells = reallocarray(t->cells, room, sizeof(*cells));

		if (!cells)
			abort();
		t->cells = cells;
		t->room = room;
	}
	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	t->cells[t->used++] = (struct cell){term_clean(bg_isempty(text) ? "-" : text), style};
}

static int total_width(const struct table *t)
{
	int sum = -GAP;

	for (size_t c = 0; c < t->count; c++)
		sum += t->width[c] ? t->width[c] + GAP : 0;
	return sum;
}

static void natural_widths(struct table *t)
{
	for (size_t c = 0; c < t->count; c++)
		t->width[c] = term_columns(t->columns[c].title);
	for (size_t i = 0; i < t->used; i++) {
		size_t c = i % t->count;

		if (t->cells[i].text)
			t->width[c] = BG_MAX(t->width[c], term_columns(t->cells[i].text));
	}
}

/* The column that gives one column of its width away; -1 when none can. Names stand left, and
 * are what is typed next: what is right of them gives way first. */
static int next_elastic(const struct table *t)
{
	for (int c = (int)t->count - 1; c >= 0; c--)
		if (t->columns[c].min && t->width[c] > t->columns[c].min)
			return c;
	return -1;
}

static int next_dropped(const struct table *t)
{
	int best = -1;

	for (int c = 0; c < (int)t->count; c++)
		if (t->width[c] && t->columns[c].drop &&
			(best < 0 || t->columns[c].drop > t->columns[best].drop))
			best = c;
	return best;
}

/* Cuts long texts first, then leaves columns out. */
static void fit(struct table *t, int width)
{
	natural_widths(t);
	while (width && total_width(t) > width) {
		int c = next_elastic(t);

		if (c >= 0) {
			t->width[c]--;
			continue;
		}
		c = next_dropped(t);
		if (c < 0)
			break;
		t->width[c] = 0;
	}
}

static void print_cell(const struct table *t, const struct term *term, size_t c, const char *text,
	enum style style, bool last)
{
	int width = t->width[c], pad = width - BG_MIN(width, term_columns(text));

	if (t->columns[c].right)
		fprintf(term->file, "%*s", pad, "");
	fputs(style ? term_style(term, style) : "", term->file);
	term_put(term->file, text, width);
	fputs(style ? term_plain(term) : "", term->file);
	if (!last)
		fprintf(term->file, "%*s", (t->columns[c].right ? 0 : pad) + GAP, "");
}

static void print_row(const struct table *t, const struct term *term, const struct cell *cells)
{
	size_t last = 0;

	for (size_t c = 0; c < t->count; c++)
		if (t->width[c])
			last = c;
	for (size_t c = 0; c <= last; c++)
		if (t->width[c])
			print_cell(t, term, c,
				cells ? (cells[c].text ? cells[c].text : "") : t->columns[c].title,
				cells ? cells[c].style : STYLE_BOLD, c == last);
	fputc('\n', term->file);
}

void table_print(struct table *t, const struct term *term)
{
	fit(t, term->width);
	print_row(t, term, NULL);
	for (size_t i = 0; i + t->count <= t->used; i += t->count)
		print_row(t, term, t->cells + i);
}

void render_wrapped(const struct term *t, int column, int width, const char *text)
{
	int at = column, gap = 0;

	while (*text) {
		int bytes = (int)strcspn(text, " "), columns = 0;

		for (int i = 0; i < bytes; i++)
			columns += is_start(text[i]);
		if (width && at > column && at + gap + columns > width) {
			fprintf(t->file, "\n%*s", column, "");
			at = column;
			gap = 0;
		}
		fprintf(t->file, "%*s%.*s", gap, "", bytes, text);
		at += gap + columns;
		text += bytes;
		gap = (int)strspn(text, " ");
		text += gap;
	}
}

void render_field(const struct term *t, const char *label, enum style style, const char *fmt, ...)
{
	_free_ char *text = NULL, *clean = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	if (bg_isempty(text))
		return;
	clean = term_clean(text);
	fprintf(t->file, "%s%-*s%s%s", term_style(t, STYLE_DIM), LABEL_WIDTH, label, term_plain(t),
		style ? term_style(t, style) : "");
	render_wrapped(t, LABEL_WIDTH, t->width, clean ? clean : "");
	fprintf(t->file, "%s\n", style ? term_plain(t) : "");
}

void render_json(const struct term *t, const json_t *record)
{
	json_dumpf(record, t->file, JSON_INDENT(2) | JSON_ENCODE_ANY);
	fputc('\n', t->file);
}

void render_error(const struct term *t, const struct bg_err *err)
{
	_free_ char *message = term_clean(err->message),
		    *hint = bg_helper_hint(term_clean(err->hint));

	fprintf(t->file, "%sbanger:%s %s\n", term_style(t, STYLE_RED), term_plain(t),
		message ? message : "");
	if (!bg_isempty(hint))
		fprintf(t->file, "  %s\n", hint);
}

char *render_duration(uint64_t ms, char out[DURATION_TEXT])
{
	unsigned long long s = ms / 1000, m = s / 60, h = m / 60;

	if (ms < 1000)
		snprintf(out, DURATION_TEXT, "%llu ms", (unsigned long long)ms);
	else if (s < 60)
		snprintf(out, DURATION_TEXT, "%llu.%llu s", s, (unsigned long long)ms % 1000 / 100);
	else if (m < 60)
		snprintf(out, DURATION_TEXT, "%llum %02llus", m, s % 60);
	else if (h < 48)
		snprintf(out, DURATION_TEXT, "%lluh %02llum", h, m % 60);
	else
		snprintf(out, DURATION_TEXT, "%llud %lluh", h / 24, h % 24);
	return out;
}

char *render_age(int64_t seconds, char out[DURATION_TEXT])
{
	if (seconds >= 60)
		return render_duration((uint64_t)seconds * 1000, out);
	snprintf(out, DURATION_TEXT, "%d s", (int)seconds);
	return out;
}

int64_t render_seconds_since(const char *rfc3339)
{
	struct tm tm = {0};
	const char *end = strptime(rfc3339, "%Y-%m-%dT%H:%M:%S", &tm);
	time_t now = time(NULL), then;

	if (!end || (*end != 'Z' && *end != '.' && *end != '+'))
		return -1;
	then = timegm(&tm);
	return then > now ? 0 : (int64_t)(now - then);
}

void render_time(const struct term *t, const char *label, const char *rfc3339)
{
	int64_t seconds = render_seconds_since(rfc3339);
	char ago[DURATION_TEXT];

	if (seconds < 0)
		render_field(t, label, STYLE_PLAIN, "%s", rfc3339);
	else
		render_field(
			t, label, STYLE_PLAIN, "%s ago (%s)", render_age(seconds, ago), rfc3339);
}

const char *render_text(const json_t *record, const char *key)
{
	const char *s = "";

	(void)bg_json_get_str(record, key, &s);
	return s;
}

int64_t render_int(const json_t *record, const char *key)
{
	int64_t n = 0;

	(void)bg_json_get_int(record, key, 0, INT64_MAX, &n);
	return n;
}

char *render_list(const json_t *strings)
{
	char *text = NULL;
	const json_t *item;
	size_t len = 0, i;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	json_array_foreach (strings, i, item)
		if (json_is_string(item))
			fprintf(f, "%s%s", i ? ", " : "", json_string_value(item));
	fclose(f);
	return text;
}

char *render_on_disk(const json_t *record)
{
	int64_t shared = render_int(record, "shared_bytes");
	char real[BG_SIZE_TEXT], part[BG_SIZE_TEXT];
	char *text = NULL;
	int n;

	bg_size_print((uint64_t)render_int(record, "real_bytes"), real);
	n = shared > 0 ? asprintf(&text, "%s on disk, %s of it shared", real,
				 bg_size_print((uint64_t)shared, part))
		       : asprintf(&text, "%s on disk", real);
	return n < 0 ? NULL : text;
}
