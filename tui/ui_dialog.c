/* SPDX-License-Identifier: ISC */
/*
 * The question before something is lost. Its targets are keys, taken when it is opened: whatever the list does
 * meanwhile, it is about the same ones. Enter alone keeps them; y, or their number and Enter, does it.
 */
#include <stdio.h>

#include "tui/ui.h"

void ui_dialog_close(struct ui *ui)
{
	free(ui->dialog.targets);
	memset(&ui->dialog, 0, sizeof(ui->dialog));
}

/* What runs is not lost to a single letter. */
static bool any_up(const struct ui *ui, const struct dialog *d)
{
	for (size_t i = 0; d->kind == KIND_VM && i < d->count; i++) {
		const struct item *item = model_find(&ui->model, d->kind, d->targets[i]);

		if (item && !bg_streq(item_text(item->record, "state"), "stopped"))
			return true;
	}
	return false;
}

void ui_ask(struct ui *ui, enum act act, enum kind kind, char (*targets)[KEY_TEXT], size_t count)
{
	struct dialog *d = &ui->dialog;

	ui_dialog_close(ui);
	d->targets = calloc(count, sizeof(*targets));
	if (!d->targets)
		return;
	memcpy(d->targets, targets, count * sizeof(*targets));
	d->open = true;
	d->act = act;
	d->kind = kind;
	d->count = count;
	d->type_count = count > 1 || (act == ACT_DELETE && any_up(ui, d));
}

static void yes(struct ui *ui)
{
	struct dialog d = ui->dialog;

	memset(&ui->dialog, 0, sizeof(ui->dialog));
	ui_carry_out(ui, d.act, d.kind, d.targets, d.count);
	free(d.targets);
}

void ui_dialog_key(struct ui *ui, int key)
{
	struct dialog *d = &ui->dialog;
	size_t len = strlen(d->typed);

	if (key == KEY_ESCAPE_ ||
		(!d->type_count && (key == KEY_ENTER_ || key == 'n' || key == 'q'))) {
		ui_dialog_close(ui);
		ui_say(ui, false, "nothing was done");
	} else if (!d->type_count) {
		if (key == 'y')
			yes(ui);
	} else if (key == KEY_ENTER_) {
		if ((size_t)atol(d->typed) == d->count)
			yes(ui);
	} else if (key == KEY_BACKSPACE_ && len > 0) {
		d->typed[len - 1] = '\0';
	} else if (key >= '0' && key <= '9' && len + 1 < sizeof(d->typed)) {
		d->typed[len] = (char)key;
	}
}
