/* SPDX-License-Identifier: ISC */
/* doctor.c: the table of `banger doctor`, and how it is shown. See doctor.h. */
#include "cli/doctor.h"
#include "common/helper_hint.h"

#include <stdarg.h>

#include "common/json.h"

/* In the order in which one thing needs the other. */
static const struct {
	const char *name;
	doctor_check_fn check;
} rows[] = {
	{"daemon", check_daemon},
	{"kvm", check_kvm},
	{"firecracker", check_firecracker},
	{"qemu", check_qemu},
	{"vmm", check_vmm},
	{"helper", check_helper},
	{"fence", check_fence},
	{"tun", check_tun},
	{"forward", check_forward},
	{"names", check_names},
	{"store", check_store},
	{"storage", check_storage},
	{"disk-helper", check_disk_helper},
	{"space", check_space},
	{"limits", check_limits},
	{"landlock", check_landlock},
	{"seccomp", check_seccomp},
	{"vsock", check_vsock},
	{"clock", check_clock},
	{"build", check_build},
	{"ssh", check_ssh},
	{"logout", check_logout},
};

static const char *const state_words[] = {
	[FINDING_OK] = "ok", [FINDING_WARN] = "warn", [FINDING_FAIL] = "fail"};
static const enum style state_styles[] = {
	[FINDING_OK] = STYLE_GREEN, [FINDING_WARN] = STYLE_YELLOW, [FINDING_FAIL] = STYLE_RED};

static void put(char **at, const char *fmt, va_list ap)
{
	free(*at);
	if (vasprintf(at, fmt, ap) < 0)
		*at = NULL;
}

void finding_set(struct finding *f, enum finding_state state, const char *fmt, ...)
{
	va_list ap;

	f->state = state;
	va_start(ap, fmt);
	put(&f->text, fmt, ap);
	va_end(ap);
}

void finding_hint(struct finding *f, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	put(&f->hint, fmt, ap);
	va_end(ap);
}

void finding_error(struct finding *f, enum finding_state state, const json_t *error)
{
	finding_set(f, state, "%s", render_text(error, "message"));
	if (*render_text(error, "hint"))
		finding_hint(f, "%s", render_text(error, "hint"));
}

static void finding_done(struct finding *f)
{
	free(f->text);
	free(f->hint);
}

enum { FINDING_COLUMN = 19 };

static void show(const struct term *t, const struct finding *f)
{
	_free_ char *text = term_clean(f->text),
		    *hint = f->hint ? bg_helper_hint(term_clean(f->hint)) : NULL;

	fprintf(t->file, "%s%-5s%s %-12s ", term_style(t, state_styles[f->state]),
		state_words[f->state], term_plain(t), f->name);
	render_wrapped(t, FINDING_COLUMN, t->width, text ? text : "");
	if (hint) {
		fprintf(t->file, "\n%*s", FINDING_COLUMN, "");
		render_wrapped(t, FINDING_COLUMN, t->width, hint);
	}
	fputc('\n', t->file);
}

static int add(json_t *list, const struct finding *f)
{
	return json_array_append_new(
		list, json_pack("{s:s, s:s, s:s, s:s?, s:s?}", "name", f->name, "state",
			      state_words[f->state], "text", f->text ? f->text : "", "hint",
			      f->hint, "fix", doctor_fix_command(f->fix)));
}

enum { ROWS = ARRAY_SIZE(rows) };

/* What one look has found. */
struct look {
	struct finding found[ROWS];
	unsigned n[FINDING_FAIL + 1];
};

static void look_done(struct look *l)
{
	for (size_t i = 0; i < ROWS; i++)
		finding_done(&l->found[i]);
}

/* Each line is shown as soon as it is known; after a remedy those alone that were not well before. */
static void look(const struct doctor *d, const struct look *before, struct look *ret)
{
	for (size_t i = 0; i < ROWS; i++) {
		struct finding *f = &ret->found[i];

		*f = (struct finding){.name = rows[i].name, .state = FINDING_OK};
		rows[i].check(d, f);
		if (f->state == FINDING_OK)
			f->fix = FIX_NONE;
		ret->n[f->state]++;
		if (!d->cli->json && (!before || before->found[i].state != FINDING_OK))
			show(&d->cli->out, f);
	}
}

static void show_verdict(const struct term *t, unsigned failed)
{
	if (failed)
		fprintf(t->file, "\n%u check%s failed: VMs cannot be run here\n", failed,
			failed == 1 ? "" : "s");
	else
		fprintf(t->file, "\nVMs can be run here\n");
}

/* fixes: what --fix has run, or NULL; taken. */
static int print_json(
	const struct cli *cli, const struct look *l, json_t *fixes, struct bg_err **err)
{
	_json_ json_t *record = NULL;
	json_t *list = json_array();

	for (size_t i = 0; list && i < ROWS; i++)
		(void)add(list, &l->found[i]);
	record = json_pack("{s:b, s:o}", "ok", l->n[FINDING_FAIL] == 0, "checks", list);
	if (!record) {
		json_decref(fixes);
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	}
	if (fixes)
		(void)json_object_set_new(record, "fixes", fixes);
	render_json(&cli->out, record);
	return 0;
}

static int answer(const struct cli *cli, const struct look *l, bool strict, json_t *fixes,
	struct bg_err **err)
{
	int r = 0;

	if (cli->json)
		r = print_json(cli, l, fixes, err);
	else
		show_verdict(&cli->out, l->n[FINDING_FAIL]);
	if (r < 0)
		return r;
	return l->n[FINDING_FAIL] || (strict && l->n[FINDING_WARN]) ? BG_EXIT_HOST : BG_EXIT_OK;
}

/* A remedy that did not succeed is a failure also where VMs can be run. */
static int fix(
	struct doctor *d, const struct look *first, const struct args *args, struct bg_err **err)
{
	_cleanup_(look_done) struct look again = {0};
	json_t *fixes = NULL;
	int status, r = doctor_fix(d->cli, first->found, ROWS, args_has(args, "--yes"),
			    d->cli->json ? &fixes : NULL, err);

	if (r < 0)
		return r;
	if (r == 0)
		return answer(d->cli, first, args_has(args, "--strict"), fixes, err);
	doctor_ask(d);
	look(d, first, &again);
	status = answer(d->cli, &again, args_has(args, "--strict"), fixes, err);
	return status == BG_EXIT_OK && r > 1 ? BG_EXIT_FAILED : status;
}

static int run(struct doctor *d, const struct args *args, struct bg_err **err)
{
	_cleanup_(look_done) struct look first = {0};

	doctor_ask(d);
	look(d, NULL, &first);
	return args_has(args, "--fix")
		       ? fix(d, &first, args, err)
		       : answer(d->cli, &first, args_has(args, "--strict"), NULL, err);
}

int doctor(struct cli *cli, const struct args *args, struct bg_err **err)
{
	_unref_(config) struct config *config = NULL;
	struct doctor d = {.cli = cli};
	int r;

	if (args_value(args, "--remove") && args_has(args, "--fix"))
		return bg_err_set(
			err, BG_ERR_USAGE, EINVAL, "--fix and --remove exclude each other");
	if (args_value(args, "--remove"))
		return doctor_remove(
			cli, args_value(args, "--remove"), args_has(args, "--force"), err);
	r = config_load(cli->paths.config_file, &config, NULL);
	/* A file that cannot be read keeps the daemon from starting: its row says so. */
	if (r < 0)
		r = config_parse("", "", 0, &config, err);
	if (r < 0)
		return r;
	d.config = config;
	r = run(&d, args, err);
	json_decref(d.status);
	bg_err_free(d.err);
	return r;
}
