/* SPDX-License-Identifier: ISC */
/* What lies over the screen: the question before something is lost, the list of keys. */
#include <ctype.h>
#include <stdio.h>

#include "tui/draw.h"

enum { DIALOG_COLUMNS = 60, DIALOG_LINES = 8 };

static const char *noun(enum kind kind, size_t count)
{
	static const char *const one[] = {"VM", "image", "kernel", "operation", "check"};
	static const char *const many[] = {"VMs", "images", "kernels", "operations", "checks"};

	return count == 1 ? one[kind] : many[kind];
}

static const char *consequence(const struct dialog *d)
{
	if (d->act == ACT_DELETE && d->kind == KIND_VM)
		return d->count == 1 ? "Its disks go with it. There is no undo."
				     : "Their disks go with them. There is no undo.";
	if (d->act == ACT_DELETE)
		return "It is refused while something uses it.";
	if (d->act == ACT_KILL)
		return "Like pulling the plug: what is in its memory alone is lost.";
	return d->act == ACT_CANCEL ? "What it has done so far is undone." : "";
}

static void target_line(
	const struct ui *ui, struct grid *g, int row, int column, int room, const char *key)
{
	const struct item *item = model_find(&ui->model, ui->dialog.kind, key);
	const char *word = "gone meanwhile";
	enum look look = LOOK_DIM;
	char disk[SHORT_TEXT];

	if (!item) {
		grid_put(g, row, column, room, LOOK_DIM, word);
		return;
	}
	word = item_text(item->record, "state");
	if (ui->dialog.kind == KIND_VM)
		(void)face_glyph(vm_face(item, &word), &look);
	if (ui->dialog.kind == KIND_OP)
		word = item_text(item->record, "kind");
	grid_put(g, row, column, 24, LOOK_BOLD, item_name(ui->dialog.kind, item));
	grid_put(g, row, column + 26, 14, look, word);
	if (item->usage)
		grid_put(g, row, column + 42, 8, LOOK_PLAIN, short_size(item->usage->disk, disk));
}

static void answer_line(const struct dialog *d, struct grid *g, int row, int column, int room)
{
	const char *word = act_rows[d->act].word;

	if (!d->type_count) {
		grid_printf(g, row, column, room, LOOK_ACCENT,
			"y  %s     Esc, Enter  leave as it is", word);
		return;
	}
	column += grid_printf(
		g, row, column, room, LOOK_ACCENT, "Type %zu and Enter to %s: [ ", d->count, word);
	g->cursor_row = row;
	g->cursor_column = column + grid_put(g, row, column, 6, LOOK_BOLD, d->typed);
	grid_put(g, row, g->cursor_column + 1, 20, LOOK_ACCENT, "]   Esc leaves it");
}

void draw_dialog(const struct ui *ui, struct grid *g)
{
	const struct dialog *d = &ui->dialog;
	int columns = BG_MIN(DIALOG_COLUMNS, g->columns - 2), left = (g->columns - columns) / 2;
	int lines = (int)BG_MIN(d->count, (size_t)BG_MIN(DIALOG_LINES, g->rows - 7)),
	    rows = lines + 6;
	int top = BG_MAX((g->rows - rows) / 2, 0);
	char title[80], verb[32];

	snprintf(verb, sizeof(verb), "%s", act_rows[d->act].word);
	verb[0] = (char)toupper((unsigned char)verb[0]);
	snprintf(title, sizeof(title), "%s %zu %s", verb, d->count, noun(d->kind, d->count));
	grid_frame(g, top, left, rows, columns, title);
	for (int i = 0; i < lines; i++)
		target_line(ui, g, top + 1 + i, left + 3, columns - 6, d->targets[i]);
	if ((size_t)lines < d->count)
		grid_printf(g, top + 1 + lines, left + 3, columns - 6, LOOK_DIM, "and %zu more",
			d->count - (size_t)lines);
	grid_put(g, top + lines + 2, left + 3, columns - 6, LOOK_PLAIN, consequence(d));
	answer_line(d, g, top + lines + 4, left + 3, columns - 6);
}

static void palette_row(struct grid *g, int row, int left, int columns, enum act act, bool cursor)
{
	const struct act_row *r = &act_rows[act];
	char key[KEY_NAME], key2[KEY_NAME] = "", keys[2 * KEY_NAME + 2];

	key_label(r->key, key);
	if (r->key2)
		key_label(r->key2, key2);
	snprintf(keys, sizeof(keys), "%s%s%s", key, *key2 ? " " : "", key2);
	grid_put(g, row, left + 2, 12, LOOK_ACCENT, keys);
	grid_put(g, row, left + 15, columns - 17, r->asks ? LOOK_BUSY : LOOK_PLAIN, r->help);
	if (cursor)
		grid_reverse(g, row, left + 1, columns - 2);
}

void draw_palette(struct ui *ui, struct grid *g)
{
	struct palette *p = &ui->palette;
	enum act acts[ACT_MAX_];
	size_t count = ui_palette(ui, acts);
	int columns = BG_MIN(78, g->columns - 2), left = (g->columns - columns) / 2;
	int room = BG_MIN((int)count, g->rows - 6), rows = BG_MAX(room, 1) + 4,
	    top = BG_MAX((g->rows - rows) / 2, 0);

	if (p->row < p->top)
		p->top = p->row;
	if (room > 0 && p->row >= p->top + (size_t)room)
		p->top = p->row - (size_t)room + 1;
	p->top = BG_MIN(p->top, count - BG_MIN(count, (size_t)room));
	grid_frame(g, top, left, rows, columns, p->menu ? "what can be done" : "keys");
	for (int i = 0; i < room; i++)
		palette_row(g, top + 1 + i, left, columns, acts[p->top + (size_t)i],
			p->row == p->top + (size_t)i);
	if (count == 0)
		grid_put(g, top + 1, left + 2, columns - 4, LOOK_DIM, "nothing matches");
	grid_put(g, top + rows - 2, left + 2, 10, LOOK_DIM, "find:");
	g->cursor_row = top + rows - 2;
	g->cursor_column =
		left + 8 + grid_put(g, top + rows - 2, left + 8, 30, LOOK_BOLD, p->typed);
	grid_put_right(
		g, top + rows - 2, left + 40, columns - 42, LOOK_DIM, "Enter does it   Esc closes");
}
