/* SPDX-License-Identifier: ISC */
/* Moving, marking, sorting, filtering, the mouse: what changes only what is looked at. */
#include <assert.h>
#include <stdio.h>

#include "tui/draw.h"
#include "tui/ui.h"

static struct view *front(struct ui *ui)
{
	return &ui->views[ui->view];
}

static void go_to(struct ui *ui, long row)
{
	struct item *const *items;
	long count = (long)ui_visible(ui, &items);

	row = BG_MAX(BG_MIN(row, count - 1), 0L);
	if (count > 0)
		snprintf(front(ui)->cursor, KEY_TEXT, "%s", items[row]->key);
	front(ui)->chosen = true;
	ui_settle(ui);
}

static void show_view(struct ui *ui, int view)
{
	ui->view = (enum kind)((view + KIND_MAX_) % KIND_MAX_);
	ui_settle(ui);
	if (ui->view == KIND_CHECK && ui->model.lists[KIND_CHECK].count == 0 &&
		!ui->model.checks_running)
		ui_do(ui, ACT_REREAD);
}

static void mark_one(struct ui *ui)
{
	struct item *item = ui_current(ui);

	if (!item)
		return;
	item->marked = !item->marked;
	snprintf(front(ui)->last_mark, KEY_TEXT, "%s", item->key);
	go_to(ui, (long)front(ui)->row + 1);
}

static void mark_range(struct ui *ui)
{
	struct item *const *items;
	size_t count = ui_visible(ui, &items), from = front(ui)->row;

	for (size_t i = 0; i < count; i++)
		if (bg_streq(items[i]->key, front(ui)->last_mark))
			from = i;
	for (size_t i = BG_MIN(from, front(ui)->row);
		i < count && i <= BG_MAX(from, front(ui)->row); i++)
		items[i]->marked = true;
}

static void mark_all(struct ui *ui)
{
	struct item *const *items;
	size_t count = ui_visible(ui, &items);
	bool all = true;

	for (size_t i = 0; i < count; i++)
		all = all && items[i]->marked;
	for (size_t i = 0; i < count; i++)
		items[i]->marked = !all;
}

/* Esc: the filter goes, else the marks. */
static void close_one(struct ui *ui)
{
	struct list *list = &ui->model.lists[ui->view];

	if (*front(ui)->filter) {
		front(ui)->filter[0] = '\0';
	} else {
		for (size_t i = 0; i < list->count; i++)
			list->items[i].marked = false;
	}
}

static void sort_by(struct ui *ui, int by)
{
	static const char *const names[] = {"name", "state", "CPU", "memory of the guest",
		"memory of the host", "disk", "uptime"};

	static_assert(ARRAY_SIZE(names) == SORT_MAX_, "one for each");
	ui->sort = (enum sort)(((int)ui->sort + by + SORT_MAX_) % SORT_MAX_);
	ui_say(ui, false, "sorted by %s%s", names[ui->sort],
		ui->invert ? ", the other way round" : "");
}

static bool look(struct ui *ui, enum act act)
{
	if (act == ACT_MARK)
		mark_one(ui);
	else if (act == ACT_MARK_RANGE)
		mark_range(ui);
	else if (act == ACT_MARK_ALL)
		mark_all(ui);
	else if (act == ACT_CLOSE)
		close_one(ui);
	else if (act == ACT_FILTER)
		ui->typing = true;
	else if (act == ACT_SORT || act == ACT_SORT_BACK)
		sort_by(ui, act == ACT_SORT ? 1 : -1);
	else if (act == ACT_INVERT) {
		ui->invert = !ui->invert;
		sort_by(ui, 0);
	} else if (act == ACT_BIGGER || act == ACT_SMALLER)
		ui->detail = BG_MAX(BG_MIN(ui->detail + (act == ACT_BIGGER ? 1 : -1), 30), -6);
	else
		return false;
	return true;
}

bool ui_move(struct ui *ui, enum act act)
{
	long row = (long)front(ui)->row, page = BG_MAX(ui->list_rows - 1, 1);

	if (act == ACT_DOWN || act == ACT_UP)
		go_to(ui, row + (act == ACT_DOWN ? 1 : -1));
	else if (act == ACT_PAGE_DOWN || act == ACT_PAGE_UP)
		go_to(ui, row + (act == ACT_PAGE_DOWN ? page : -page));
	else if (act == ACT_FIRST)
		go_to(ui, 0);
	else if (act == ACT_LAST)
		go_to(ui, (long)ui->model.lists[ui->view].count);
	else if (act >= ACT_VIEW_VMS && act <= ACT_VIEW_CHECKS)
		show_view(ui, (int)(act - ACT_VIEW_VMS));
	else if (act == ACT_NEXT_VIEW || act == ACT_LAST_VIEW)
		show_view(ui, (int)ui->view + (act == ACT_NEXT_VIEW ? 1 : -1));
	else
		return look(ui, act);
	return true;
}

/* ---- texts ---- */

int ui_text_rows(const struct ui *ui)
{
	return BG_MAX(ui->rows - TEXT_FRAME_ROWS, 1);
}

static void search(struct ui *ui, int direction)
{
	if (!*ui->pager.search)
		ui->typing = true;
	else if (!pager_find(&ui->pager, direction, ui_text_rows(ui)))
		ui_say(ui, false, "no %s line matches \"%s\"", direction > 0 ? "later" : "earlier",
			ui->pager.search);
}

static bool text_look(struct ui *ui, enum act act)
{
	struct pager *p = &ui->pager;
	int half = BG_MAX(ui->columns / 2, 1);

	if (act == ACT_WRAP) {
		p->wrap = !p->wrap;
		p->left = 0;
	} else if (act == ACT_LEFT || act == ACT_RIGHT)
		p->left = BG_MAX(p->left + (act == ACT_RIGHT ? half : -half), 0);
	else if (act == ACT_COLUMN)
		p->left = 0;
	else if (act == ACT_FILTER) {
		ui->typing = true;
		p->search[0] = '\0';
	} else if (act == ACT_SEARCH_NEXT || act == ACT_SEARCH_LAST)
		search(ui, act == ACT_SEARCH_NEXT ? 1 : -1);
	else
		return false;
	return true;
}

bool ui_move_text(struct ui *ui, enum act act)
{
	struct pager *p = &ui->pager;
	int rows = ui_text_rows(ui);

	if (act == ACT_DOWN || act == ACT_UP)
		pager_scroll(p, act == ACT_DOWN ? 1 : -1, rows);
	else if (act == ACT_PAGE_DOWN || act == ACT_PAGE_UP)
		pager_scroll(p, act == ACT_PAGE_DOWN ? rows - 1 : 1 - rows, rows);
	else if (act == ACT_FIRST) {
		p->follow = false;
		p->top = 0;
	} else if (act == ACT_LAST || act == ACT_FOLLOW)
		p->follow = true;
	else if (act == ACT_CLOSE && *p->search)
		p->search[0] = '\0';
	else if (!text_look(ui, act))
		return false;
	pager_settle(p, rows, p->wrap ? ui->columns - 1 : 0);
	return true;
}

/* ---- the mouse ---- */

static void click_list(struct ui *ui, enum mouse what, int row)
{
	struct item *const *items;
	size_t count = ui_visible(ui, &items), at = front(ui)->top + (size_t)(row - ui->list_row);

	if (at >= count)
		return;
	go_to(ui, (long)at);
	if (what == MOUSE_DOUBLE)
		ui_do(ui, ACT_OPEN);
	if (what == MOUSE_RIGHT)
		ui_do(ui, ACT_MENU);
}

static void wheel(struct ui *ui, int by)
{
	if (ui->pager.open)
		pager_scroll(&ui->pager, by, ui_text_rows(ui));
	else
		go_to(ui, (long)front(ui)->row + by);
	if (ui->pager.open)
		pager_settle(&ui->pager, ui_text_rows(ui), ui->pager.wrap ? ui->columns - 1 : 0);
}

void ui_mouse(struct ui *ui, enum mouse what, int row, int column)
{
	enum { STEP = 3 };

	if (ui->dialog.open || ui->form.open || ui->palette.open)
		return; /* nothing is destroyed by a click */
	if (what == MOUSE_WHEEL_UP || what == MOUSE_WHEEL_DOWN) {
		wheel(ui, what == MOUSE_WHEEL_UP ? -STEP : STEP);
	} else if (!ui->pager.open && row == 0) {
		int view = draw_tab_at(ui, column);

		if (view >= 0)
			show_view(ui, view);
	} else if (!ui->pager.open && row == ui->head_row && ui->view == KIND_VM) {
		sort_by(ui, 1);
	} else if (!ui->pager.open && row >= ui->list_row && row < ui->list_row + ui->list_rows &&
		   column < ui->list_columns) {
		click_list(ui, what, row);
	}
	ui_settle(ui);
}
