/* SPDX-License-Identifier: ISC */
/* What comes in: keys, pastes, lines of the daemon, answers. See ui.h. */
#include "tui/ui.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

enum { SMALL_ROWS = 8, SMALL_COLUMNS = 40 };

void ui_init(struct ui *ui, const struct effects *effects, void *userdata)
{
	memset(ui, 0, sizeof(*ui));
	ui->effects = effects;
	ui->userdata = userdata;
}

void ui_done(struct ui *ui)
{
	ui_dialog_close(ui);
	pager_close(&ui->pager);
	model_done(&ui->model);
}

void ui_say(struct ui *ui, bool bad, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(ui->message, sizeof(ui->message), fmt, ap);
	va_end(ap);
	ui->message_bad = bad;
}

int ui_where(const struct ui *ui)
{
	return ui->pager.open ? ON_TEXT : 1 << ui->view;
}

static bool word_matches(const char *text, const char *word)
{
	return strcasestr(text, word) != NULL;
}

static bool label_matches(const json_t *labels, const char *word)
{
	char text[128];
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)(uintptr_t)labels, key, value) {
		snprintf(text, sizeof(text), "%s=%s", key,
			json_string_value(value) ? json_string_value(value) : "");
		if (word_matches(text, word))
			return true;
	}
	return false;
}

static bool passes(const struct ui *ui, const struct item *item)
{
	static const char *const keys[] = {"name", "image", "address", "kind", "target", "state",
		"text", "os", "release", "source"};
	const char *word = ui->views[ui->view].filter, *state = "";

	if (!*word)
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (word_matches(item_text(item->record, keys[i]), word))
			return true;
	if (ui->view == KIND_VM)
		(void)vm_face(item, &state);
	return word_matches(state, word) ||
	       label_matches(json_object_get(item->record, "labels"), word);
}

/* What the order of VMs goes by, where it is a number; larger ones first. */
static double sort_value(const struct ui *ui, const struct item *item)
{
	const struct usage *u = item->usage;
	const char *word;

	switch (ui->sort) {
	case SORT_STATE:
		return -(double)vm_face(item, &word);
	case SORT_CPU:
		return u ? u->cpu : -1;
	case SORT_GUEST:
		return u ? (double)u->guest : -1;
	case SORT_HOST:
		return u ? (double)u->host : -1;
	case SORT_DISK:
		return u ? (double)u->disk : -1;
	case SORT_UP:
		return (double)item_since(&ui->model, item->record, "started_at");
	case SORT_NAME:
	case SORT_MAX_:
		break;
	}
	return 0;
}

static bool goes_before(const struct ui *ui, const struct item *a, const struct item *b)
{
	double x = sort_value(ui, a), y = sort_value(ui, b);
	int name = strcmp(item_name(KIND_VM, a), item_name(KIND_VM, b));
	bool before = x > y || (x == y && name < 0); /* NOLINT: the same value, twice */

	return a != b && before != ui->invert;
}

/* The lists are short, nearly sorted, and by name already. */
static void sort(const struct ui *ui, struct item **items, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		struct item *item = items[i];
		size_t at = i;

		while (at > 0 && goes_before(ui, item, items[at - 1])) {
			items[at] = items[at - 1];
			at--;
		}
		items[at] = item;
	}
}

size_t ui_visible(const struct ui *ui, struct item *const **ret)
{
	static struct item **items;
	static size_t room;
	const struct list *list = &ui->model.lists[ui->view];
	size_t n = 0;

	*ret = NULL;
	if (list->count > room) {
		struct item **more = realloc(items, list->count * 2 * sizeof(*items));

		if (!more)
			return 0;
		items = more;
		room = list->count * 2;
	}
	for (size_t i = 0; i < list->count; i++)
		if (passes(ui, &list->items[i]))
			items[n++] = &list->items[i];
	if (ui->view == KIND_VM && (ui->sort != SORT_NAME || ui->invert))
		sort(ui, items, n);
	*ret = items;
	return n;
}

struct item *ui_current(const struct ui *ui)
{
	return model_find(&ui->model, ui->view, ui->views[ui->view].cursor);
}

/* What was under the cursor keeps it wherever it stands now; when it has gone, what took its place has it. */
void ui_settle(struct ui *ui)
{
	struct view *v = &ui->views[ui->view];
	struct item *const *items;
	size_t count = ui_visible(ui, &items), rows = (size_t)BG_MAX(ui->list_rows, 1), row = count;

	for (size_t i = 0; i < count && v->chosen; i++)
		if (bg_streq(items[i]->key, v->cursor))
			row = i;
	if (row == count)
		row = count && v->chosen ? BG_MIN(v->row, count - 1) : 0;
	v->row = row;
	snprintf(v->cursor, sizeof(v->cursor), "%s", count ? items[row]->key : "");
	v->top = BG_MIN(v->top, count > rows ? count - rows : 0);
	if (row < v->top)
		v->top = row;
	if (row >= v->top + rows)
		v->top = row - rows + 1;
}

unsigned ui_running_ops(const struct ui *ui)
{
	const struct list *ops = &ui->model.lists[KIND_OP];
	unsigned n = 0;

	for (size_t i = 0; i < ops->count; i++)
		n += bg_streq(item_text(ops->items[i].record, "state"), "running");
	return n;
}

/* One line of text being typed: the filter, a search. True: the key was for it. */
static bool edit_line(char *text, size_t room, int key)
{
	size_t len = strlen(text);

	if (key == KEY_BACKSPACE_ || key == KEY_CTRL('H')) {
		while (len > 0 && ((unsigned char)text[--len] & 0xc0) == 0x80)
			;
		text[len] = '\0';
	} else if (key == KEY_CTRL('U')) {
		*text = '\0';
	} else if (key >= ' ' && key < 0x7f && len + 1 < room) {
		text[len] = (char)key;
		text[len + 1] = '\0';
	} else {
		return false;
	}
	return true;
}

static void typing_key(struct ui *ui, int key)
{
	bool text = ui->pager.open;
	char *line = text ? ui->pager.search : ui->views[ui->view].filter;

	if (key == KEY_ENTER_ || key == KEY_ESCAPE_) {
		ui->typing = false;
		if (key == KEY_ESCAPE_)
			*line = '\0';
	} else if (key == KEY_UP_ || key == KEY_DOWN_) {
		ui->typing = false;
		ui_do(ui, key == KEY_UP_ ? ACT_UP : ACT_DOWN);
	} else {
		(void)edit_line(line, text ? PAGER_SEARCH : FILTER_ROOM, key);
	}
	if (!text)
		return;
	ui->pager.hit = SIZE_MAX;
	if (*line && !pager_find(&ui->pager, 1, ui_text_rows(ui)) &&
		!pager_find(&ui->pager, -1, ui_text_rows(ui)))
		ui_say(ui, false, "nothing matches \"%s\"", line);
}

size_t ui_palette(const struct ui *ui, enum act out[ACT_MAX_])
{
	const char *typed = ui->palette.typed;
	size_t n = 0;

	for (int act = ACT_NONE + 1; act < ACT_MAX_; act++) {
		const struct act_row *row = &act_rows[act];

		if (!(row->views & ui_where(ui)) ||
			(*typed && !strcasestr(row->help, typed) && !strcasestr(row->word, typed)))
			continue;
		if (ui->palette.menu &&
			(row->need == NEED_NOTHING || ui_why_not(ui, (enum act)act)))
			continue;
		out[n++] = (enum act)act;
	}
	return n;
}

static void palette_key(struct ui *ui, int key)
{
	struct palette *p = &ui->palette;
	enum act acts[ACT_MAX_];
	size_t count = ui_palette(ui, acts), page = (size_t)BG_MAX(ui->rows - 6, 1);

	if (key == KEY_ESCAPE_) {
		p->open = false;
	} else if (key == KEY_ENTER_) {
		p->open = false;
		if (p->row < count)
			ui_do(ui, acts[p->row]);
	} else if (key == KEY_UP_ || key == KEY_PAGE_UP_) {
		p->row -= BG_MIN(p->row, key == KEY_UP_ ? 1 : page);
	} else if (key == KEY_DOWN_ || key == KEY_PAGE_DOWN_) {
		p->row += key == KEY_DOWN_ ? 1 : page;
	} else if (edit_line(p->typed, sizeof(p->typed), key)) {
		p->row = 0;
	}
	count = ui_palette(ui, acts);
	p->row = count ? BG_MIN(p->row, count - 1) : 0;
}

static void submit(struct ui *ui)
{
	struct form *f = &ui->form;
	const struct form_row *row = form_row(f);
	char path[160], what[KEY_TEXT + FIELD_ROOM + 16];
	json_t *body = NULL;

	if (form_body(f, &ui->model, &body) < 0)
		return;
	if (*f->target && row->path && json_object_size(body) == 0) {
		json_decref(body);
		f->open = false;
		ui_say(ui, false, "nothing was changed");
		return;
	}
	if (!row->path) {
		json_decref(body);
		f->open = false;
		ui_exec(ui);
		return;
	}
	snprintf(path, sizeof(path), "%.*s%s%s", (int)strcspn(row->path, "{"), row->path,
		strchr(row->path, '{') ? f->target : "",
		strchr(row->path, '}') ? strchr(row->path, '}') + 1 : "");
	snprintf(
		what, sizeof(what), "%s %s", row->verb, *f->target ? f->target : f->fields[0].text);
	f->sent = true;
	ui->effects->call(ui->userdata, CALL_FORM, "POST", path, body, what);
}

static void print_encoded(char *out, size_t room, const char *text)
{
	size_t n = 0;

	for (; *text && n + 4 < room; text++)
		n += (size_t)snprintf(out + n, room - n,
			isalnum((unsigned char)*text) || strchr("/-._", *text) ? "%c" : "%%%02X",
			(unsigned char)*text);
	out[n] = '\0';
}

/* For completion; the daemon lists it, since a folder may be of a file system that does not answer. */
static void ask_folder(struct ui *ui)
{
	char folder[FIELD_ROOM], encoded[3 * FIELD_ROOM], path[3 * FIELD_ROOM + 32];

	ui->model.folder_asked = ui->model.folder_asked && ui->form.open;
	if (!ui->form.open || !form_folder(&ui->form, folder) ||
		!model_want_folder(&ui->model, folder))
		return;
	print_encoded(encoded, sizeof(encoded), folder);
	snprintf(path, sizeof(path), "/v1/files%s%s", *folder ? "?path=" : "", encoded);
	ui->effects->call(ui->userdata, CALL_FILES, "GET", path, NULL, folder);
}

static void form_got_key(struct ui *ui, int key)
{
	enum form_end end = form_key(&ui->form, &ui->model, key);

	if (end == FORM_LEAVE)
		ui->form.open = false;
	if (end == FORM_SUBMIT)
		submit(ui);
}

static void act_key(struct ui *ui, int key)
{
	enum act act = act_of_key(key, ui_where(ui));

	ui->message[0] = '\0';
	if (act == ACT_NONE) {
		char name[KEY_NAME];

		ui_say(ui, false, "%s does nothing here; ? shows the keys",
			key < KEY_UNKNOWN_ ? key_label(key, name) : "that key");
		return;
	}
	ui_do(ui, act);
}

static bool too_small(const struct ui *ui)
{
	return ui->rows && (ui->rows < SMALL_ROWS || ui->columns < SMALL_COLUMNS);
}

/* These work whatever is open. */
static bool always_key(struct ui *ui, int key)
{
	enum act act = key == KEY_CTRL('C')   ? ACT_QUIT
		       : key == KEY_CTRL('Z') ? ACT_SUSPEND
		       : key == KEY_CTRL('L') ? ACT_REPAINT
					      : ACT_NONE;

	if (act != ACT_NONE)
		ui_do(ui, act);
	return act != ACT_NONE;
}

void ui_key(struct ui *ui, int key)
{
	if (always_key(ui, key))
		return;
	if (too_small(ui)) {
		if (key == 'q')
			ui_do(ui, ACT_QUIT);
		return;
	}
	ui->views[ui->view].chosen = true;
	if (ui->dialog.open)
		ui_dialog_key(ui, key);
	else if (ui->form.open)
		form_got_key(ui, key);
	else if (ui->palette.open)
		palette_key(ui, key);
	else if (ui->typing)
		typing_key(ui, key);
	else
		act_key(ui, key);
	ask_folder(ui);
	ui_settle(ui);
}

void ui_paste(struct ui *ui, const char *text)
{
	if (ui->form.open && !ui->dialog.open) {
		form_paste(&ui->form, text);
		ask_folder(ui);
	} else if (ui->typing && !ui->dialog.open) {
		for (; *text; text++)
			(void)edit_line(
				ui->pager.open ? ui->pager.search : ui->views[ui->view].filter,
				FILTER_ROOM, *text);
		ui_settle(ui);
	} else {
		ui_say(ui, false, "what was pasted is dropped: nothing is being typed");
	}
}

void ui_line(struct ui *ui, const json_t *line)
{
	bool was_up = ui->model.link == LINK_UP;

	model_event(&ui->model, line);
	if (!was_up && ui->model.link == LINK_UP)
		ui->daemon_error[0] = ui->message[0] = '\0';
	ui_settle(ui);
}

void ui_checks(struct ui *ui, const json_t *report)
{
	ui->model.checks_running = false;
	model_checks(&ui->model, report);
	ui_settle(ui);
}

void ui_reply(struct ui *ui, enum call_for why, const char *what, const json_t *reply,
	const char *error, const char *hint)
{
	if (why == CALL_GUEST && reply)
		model_guest(&ui->model, what, json_object_get(reply, "guest"));
	if (why == CALL_FILES)
		model_files(&ui->model, what, reply);
	if (why == CALL_DAEMON && reply) {
		json_decref(ui->model.daemon);
		ui->model.daemon = json_incref((json_t *)(uintptr_t)reply);
	}
	if (why == CALL_FORM && ui->form.open && ui->form.sent) {
		ui->form.sent = false;
		ui->form.open = error != NULL;
		snprintf(ui->form.error, sizeof(ui->form.error), "%s", error ? error : "");
	}
	if (why != CALL_ACTION && why != CALL_FORM)
		return;
	if (error)
		ui_say(ui, true, "%s: %s%s%s", what, error, hint ? "; " : "", hint ? hint : "");
	else
		ui_say(ui, false, "%s: asked for", what);
}

void ui_child_ended(struct ui *ui, const char *what, int status)
{
	if (status)
		ui_say(ui, true, "%s ended with status %d", what, status);
	else
		ui_say(ui, false, "%s has ended", what);
}
