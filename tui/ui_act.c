/* SPDX-License-Identifier: ISC */
/* What a key does to the world: calls of the API, programs in the terminal. All of it goes by the effects. */
#include <stdio.h>

#include "tui/ui.h"

static bool is_state(const struct item *item, const char *state)
{
	return bg_streq(item_text(item->record, "state"), state);
}

struct item *ui_operation(const struct ui *ui)
{
	struct item *item = ui_current(ui), *op = item;

	if (!item)
		return NULL;
	if (ui->view == KIND_VM)
		op = model_find(&ui->model, KIND_OP, item_text(item->record, "operation"));
	else if (ui->view != KIND_OP)
		return NULL;
	return op && is_state(op, "running") ? op : NULL;
}

/* Why it is not up, and the key that changes that; NULL: it is on its way to or from somewhere. */
static const char *why_down(const struct item *item)
{
	static const struct {
		const char *state, *why;
	} states[] = {{"stopped", "it is stopped; u starts it"},
		{"suspended", "it is suspended; z resumes it"},
		{"paused", "it is paused; a lets it go on"}};

	for (size_t i = 0; i < ARRAY_SIZE(states); i++)
		if (is_state(item, states[i].state))
			return states[i].why;
	return NULL;
}

static const char *vm_why_not(enum need need, const struct item *item)
{
	bool stopped = is_state(item, "stopped"), running = is_state(item, "running"),
	     paused = is_state(item, "paused"), suspended = is_state(item, "suspended");

	if (is_state(item, "deleting"))
		return "it is being deleted";
	if ((need == NEED_RUNNING && !running) || (need == NEED_STILL && !running && !paused) ||
		(need == NEED_SLEEP && !running && !paused && !suspended))
		return why_down(item) ? why_down(item) : "it does not run yet";
	if (need == NEED_DOWN && !stopped && !paused && !suspended)
		return running ? "it runs already"
			       : "something is under way on it; 4 shows the operations";
	if ((need == NEED_UP || need == NEED_AWAKE || need == NEED_LIFE) && stopped)
		return "it is stopped already";
	if ((need == NEED_UP || need == NEED_AWAKE) && suspended)
		return why_down(item);
	return need == NEED_AWAKE && paused ? why_down(item) : NULL;
}

const char *ui_why_not(const struct ui *ui, enum act act)
{
	const struct act_row *row = &act_rows[act];
	const struct item *item = ui_current(ui);

	if (row->need == NEED_NOTHING)
		return NULL;
	if (ui->model.link != LINK_UP && act != ACT_OPEN && act != ACT_MARK &&
		act != ACT_MARK_ALL && act != ACT_MARK_RANGE)
		return "bangerd does not answer; it is being tried again";
	if (!item)
		return ui->view == KIND_VM ? "there is no VM here; c creates one"
					   : "there is nothing here";
	if (row->need == NEED_OP)
		return ui_operation(ui) ? NULL : "no operation is running here";
	if (act == ACT_PROMOTE && item_bool(item->record, "managed"))
		return "banger has its own copy already";
	if (row->need == NEED_ITEM)
		return NULL;
	/* Of several that are marked, those that it fits are done. */
	return model_marked(&ui->model, KIND_VM) ? NULL : vm_why_not(row->need, item);
}

/* ---- one target ---- */

static const char *name_of(const struct ui *ui)
{
	return item_name(ui->view, ui_current(ui));
}

/* Both ways by one key: by the state that the VM is in. */
static const char *verb_of(enum act act, const struct item *item)
{
	static const struct {
		enum act act;
		const char *verb;
	} verbs[] = {{ACT_START, "start"}, {ACT_STOP, "stop"}, {ACT_RESTART, "restart"},
		{ACT_KILL, "kill"}, {ACT_PAUSE, "pause"}, {ACT_SLEEP, "suspend"}};

	if ((act == ACT_PAUSE && is_state(item, "paused")) ||
		(act == ACT_SLEEP && is_state(item, "suspended")))
		return "resume";
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		if (verbs[i].act == act)
			return verbs[i].verb;
	return NULL;
}

static void call_vm(struct ui *ui, enum act act, const struct item *item)
{
	const char *verb = verb_of(act, item), *name = item_name(KIND_VM, item);
	char path[160], what[120];

	if (!verb)
		return;
	snprintf(path, sizeof(path), "/v1/vms/%s/%s", name, verb);
	snprintf(what, sizeof(what), "%s %s", verb, name);
	ui->effects->call(ui->userdata, CALL_ACTION, "POST", path, NULL, what);
}

static void call_delete(struct ui *ui, enum kind kind, const char *name)
{
	static const char *const folders[] = {
		[KIND_VM] = "vms", [KIND_IMAGE] = "images", [KIND_KERNEL] = "kernels"};
	char path[160], what[120];

	snprintf(path, sizeof(path), "/v1/%s/%s%s", folders[kind], name,
		kind == KIND_VM ? "?force=1" : "");
	snprintf(what, sizeof(what), "delete %s", name);
	ui->effects->call(ui->userdata, CALL_ACTION, "DELETE", path, NULL, what);
}

void ui_carry_out(
	struct ui *ui, enum act act, enum kind kind, char (*targets)[KEY_TEXT], size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct item *item = model_find(&ui->model, kind, targets[i]);
		char path[160], what[120];

		if (!item)
			continue;
		item->marked = false;
		if (act == ACT_CANCEL) {
			snprintf(path, sizeof(path), "/v1/operations/%s", item->key);
			snprintf(what, sizeof(what), "cancel %s %s",
				item_text(item->record, "kind"), item_name(kind, item));
			ui->effects->call(ui->userdata, CALL_ACTION, "DELETE", path, NULL, what);
		} else if (act == ACT_PROMOTE) {
			snprintf(path, sizeof(path), "/v1/images/%s/promote", item->key);
			snprintf(what, sizeof(what), "promote %s", item->key);
			ui->effects->call(ui->userdata, CALL_ACTION, "POST", path, NULL, what);
		} else if (act == ACT_DELETE) {
			call_delete(ui, kind, item_name(kind, item));
		} else {
			call_vm(ui, act, item);
		}
	}
}

/* The marked ones that it fits, else the one under the cursor. */
static size_t targets(const struct ui *ui, enum act act, char (*out)[KEY_TEXT])
{
	const struct list *list = &ui->model.lists[ui->view];
	enum need need = act_rows[act].need;
	size_t n = 0;

	for (size_t i = 0; i < list->count && n < TARGETS_MAX; i++) {
		const struct item *item = &list->items[i];

		if (item->marked && (ui->view != KIND_VM || !vm_why_not(need, item)))
			memcpy(out[n++], item->key, KEY_TEXT);
	}
	if (!model_marked(&ui->model, ui->view))
		memcpy(out[n++], ui_current(ui)->key, KEY_TEXT);
	return n;
}

static void act_on_targets(struct ui *ui, enum act act)
{
	static char keys[TARGETS_MAX + 1][KEY_TEXT];
	size_t n = targets(ui, act, keys);
	bool asks = act == ACT_KILL || act == ACT_DELETE || (act_rows[act].asks && n > 1);

	if (n == 0)
		ui_say(ui, false, "none of the marked ones can be %s",
			act == ACT_START ? "started" : "done that with");
	else if (asks)
		ui_ask(ui, act, ui->view, keys, n);
	else
		ui_carry_out(ui, act, ui->view, keys, n);
}

static void cancel(struct ui *ui)
{
	char key[1][KEY_TEXT];

	memcpy(key[0], ui_operation(ui)->key, KEY_TEXT);
	ui_ask(ui, ACT_CANCEL, KIND_OP, key, 1);
}

/* ---- programs ---- */

static void run_with(struct ui *ui, const char *const *args)
{
	ui->effects->run(ui->userdata, args);
}

void ui_exec(struct ui *ui)
{
	struct form *f = &ui->form;
	char text[FIELD_ROOM], *save = NULL;
	const char *args[FIELD_ROOM / 2 + 8] = {"vm", "exec", "--tty", f->target};
	size_t n = 4;

	memcpy(text, f->fields[0].text, sizeof(text));
	for (char *word = strtok_r(text, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		if (n == 4)
			args[n++] = "--";
		args[n++] = word;
	}
	run_with(ui, args);
}

static void open_log(struct ui *ui, const char *vm, bool vmm)
{
	char title[96], path[200];
	struct pager *p = &ui->pager;

	snprintf(title, sizeof(title), "%s > log", vm);
	pager_begin(p, title, true);
	p->is_log = true;
	p->vmm = vmm;
	snprintf(p->vm, sizeof(p->vm), "%s", vm);
	snprintf(path, sizeof(path), "/v1/vms/%s/logs?log=%s&follow=1&tail=10000", vm,
		vmm ? "vmm" : "serial");
	ui->effects->follow(ui->userdata, path);
}

/* A build's output is a file of the user's. */
static void open_build_log(struct ui *ui, const struct item *item)
{
	const char *path = ui->view == KIND_OP
				   ? item_text(item->record, "log")
				   : item_text(json_object_get(item->record, "paths"), "build_log");
	char piece[4096], title[96];
	FILE *f = *path ? fopen(path, "re") : NULL;
	size_t n;

	if (!f) {
		ui_say(ui, false, "it has no log");
		return;
	}
	snprintf(title, sizeof(title), "%s > log", item_name(ui->view, item));
	pager_begin(&ui->pager, title, true);
	while ((n = fread(piece, 1, sizeof(piece), f)) > 0)
		pager_feed(&ui->pager, piece, n);
	fclose(f);
	pager_end(&ui->pager);
}

static void open_json(struct ui *ui, const struct item *item)
{
	_free_ char *text = json_dumps(item->record, JSON_INDENT(2));
	char title[96];

	snprintf(title, sizeof(title), "%s > record", item_name(ui->view, item));
	pager_begin(&ui->pager, title, false);
	if (text)
		pager_feed(&ui->pager, text, strlen(text));
	pager_end(&ui->pager);
}

static void copy(struct ui *ui)
{
	const struct item *item = ui_current(ui);
	const json_t *r = item ? item->record : NULL;
	const char *text = "";

	if (ui->pager.open)
		text = ui->pager.count ? ui->pager.lines[ui->pager.hit != SIZE_MAX ? ui->pager.hit
										   : ui->pager.top]
				       : "";
	else if (*item_text(r, "address"))
		text = item_text(r, "address");
	else if (*item_text(json_object_get(r, "error"), "message"))
		text = item_text(json_object_get(r, "error"), "message");
	else if (r)
		text = *item_text(r, "hint") ? item_text(r, "hint") : item_name(ui->view, item);
	if (!*text)
		return;
	ui->effects->copy(ui->userdata, text);
	ui_say(ui, false, "copied: %s", text);
}

static void logs(struct ui *ui)
{
	struct item *item = ui_current(ui);

	if (ui->view == KIND_VM)
		open_log(ui, item_name(KIND_VM, item), false);
	else
		open_build_log(ui, item);
}

static void program(struct ui *ui, enum act act)
{
	const char *name = name_of(ui);

	if (act == ACT_SSH)
		run_with(ui, (const char *const[]){"vm", "ssh", name, NULL});
	else if (act == ACT_CONSOLE)
		run_with(ui, (const char *const[]){"vm", "logs", "--follow", "--boot", name, NULL});
	else if (act == ACT_DIFF) {
		char title[96];

		snprintf(title, sizeof(title), "%s > workspace diff", name);
		pager_begin(&ui->pager, title, false);
		ui->pager.is_diff = true;
		snprintf(ui->pager.vm, sizeof(ui->pager.vm), "%s", name);
		ui->effects->capture(
			ui->userdata, (const char *const[]){"vm", "workspace", "diff", name, NULL});
	}
}

/* ---- the rest ---- */

/* Which form a key opens, by the list in front. */
static const struct {
	enum act act;
	int views;
	enum form_id form;
	bool of_item; /* it is about what is under the cursor */
} openers[] = {
	{ACT_CREATE, ON_VMS, FORM_CREATE, false},
	{ACT_CREATE, ON_IMAGES, FORM_PULL, false},
	{ACT_CREATE, ON_KERNELS, FORM_KERNEL, false},
	{ACT_BUILD, ON_IMAGES, FORM_BUILD, false},
	{ACT_IMPORT, ON_IMAGES, FORM_IMPORT, false},
	{ACT_IMPORT, ON_KERNELS, FORM_IMPORT_KERNEL, false},
	{ACT_REGISTER, ON_IMAGES, FORM_REGISTER, false},
	{ACT_EXPORT, ON_IMAGES, FORM_EXPORT, true},
	{ACT_SET, ON_VMS, FORM_SET, true},
	{ACT_RENAME, ON_VMS, FORM_RENAME, true},
	{ACT_EXEC, ON_VMS, FORM_EXEC, true},
	{ACT_PUBLISH, ON_VMS, FORM_PORTS, true},
};

static bool opens_form(enum act act)
{
	for (size_t i = 0; i < ARRAY_SIZE(openers); i++)
		if (openers[i].act == act)
			return true;
	return false;
}

static void open_form(struct ui *ui, enum act act)
{
	for (size_t i = 0; i < ARRAY_SIZE(openers); i++)
		if (openers[i].act == act && openers[i].views & ui_where(ui))
			form_begin(&ui->form, openers[i].form,
				openers[i].of_item ? ui_current(ui)->record : NULL,
				ui->model.daemon);
}

static void open_palette(struct ui *ui, bool menu)
{
	ui->palette = (struct palette){.open = true, .menu = menu};
}

static void close_text(struct ui *ui)
{
	ui->effects->follow(ui->userdata, NULL);
	pager_close(&ui->pager);
}

static void reread(struct ui *ui)
{
	if (ui->view == KIND_CHECK && !ui->model.checks_running) {
		ui->model.checks_running = true;
		ui->effects->doctor(ui->userdata);
	} else {
		ui->effects->reread(ui->userdata);
	}
}

static void toggle_mouse(struct ui *ui)
{
	ui->mouse_off = !ui->mouse_off;
	ui->effects->mouse(ui->userdata, !ui->mouse_off);
	ui_say(ui, false,
		ui->mouse_off
			? "the mouse is the terminal's: it selects text; M gives it back"
			: "the mouse is banger's; with Shift the terminal still selects text");
}

/* What works in every list, and needs nothing. */
static bool of_program(struct ui *ui, enum act act)
{
	if (act == ACT_HELP || act == ACT_MENU)
		open_palette(ui, act == ACT_MENU);
	else if (act == ACT_REREAD)
		reread(ui);
	else if (act == ACT_MOUSE)
		toggle_mouse(ui);
	else if (act == ACT_REPAINT)
		ui->effects->repaint(ui->userdata);
	else if (act == ACT_SUSPEND)
		ui->effects->suspend(ui->userdata);
	else if (act == ACT_COPY)
		copy(ui);
	else if (act == ACT_QUIT || (act == ACT_BACK && !ui->pager.open))
		ui->effects->quit(ui->userdata);
	else
		return false;
	return true;
}

static void do_text(struct ui *ui, enum act act)
{
	if (act == ACT_BACK || (act == ACT_CLOSE && !*ui->pager.search))
		close_text(ui);
	else if (act == ACT_PAGER)
		ui->effects->page(ui->userdata);
	else if (act == ACT_OTHER_LOG && ui->pager.is_log) {
		char vm[KEY_TEXT];

		snprintf(vm, sizeof(vm), "%s", ui->pager.vm);
		open_log(ui, vm, !ui->pager.vmm);
	} else if (act == ACT_PULL && ui->pager.is_diff)
		run_with(ui, (const char *const[]){"vm", "workspace", "pull", ui->pager.vm, NULL});
	else
		(void)ui_move_text(ui, act);
}

static void do_item(struct ui *ui, enum act act)
{
	const char *why_not = ui_why_not(ui, act);

	if (why_not)
		ui_say(ui, false, "%s%s%s", ui_current(ui) ? name_of(ui) : "",
			ui_current(ui) ? ": " : "", why_not);
	else if (act == ACT_OPEN)
		open_json(ui, ui_current(ui));
	else if (act == ACT_LOGS)
		logs(ui);
	else if (act == ACT_SSH || act == ACT_CONSOLE || act == ACT_DIFF)
		program(ui, act);
	else if (opens_form(act))
		open_form(ui, act);
	else if (act == ACT_CANCEL)
		cancel(ui);
	else if (act == ACT_START || act == ACT_STOP || act == ACT_RESTART || act == ACT_KILL ||
		 act == ACT_DELETE || act == ACT_PROMOTE || act == ACT_PAUSE || act == ACT_SLEEP)
		act_on_targets(ui, act);
	else
		(void)ui_move(ui, act);
}

void ui_do(struct ui *ui, enum act act)
{
	if (of_program(ui, act))
		return;
	if (ui->pager.open)
		do_text(ui, act);
	else
		do_item(ui, act);
}
