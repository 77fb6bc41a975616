/* SPDX-License-Identifier: ISC */
/* doctor_parts.c: the checks whose answer the daemon has. Without a daemon each says what can be
 * told all the same. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "cli/client.h"
#include "cli/doctor.h"
#include "common/fd.h"
#include "common/json.h"
#include "common/size.h"
#include "host/kvm_probe.h"
#include "host/priv_check.h"

/* The daemon's own probes have deadlines that add up to less. */
enum { ASK_DEADLINE_S = 25, ASK_PAUSE_MS = 50 };

static bool flag(const json_t *record, const char *key)
{
	bool on = false;

	(void)bg_json_get_bool(record, key, &on);
	return on;
}

static const json_t *part(const struct doctor *d, const char *key)
{
	return d->status ? json_object_get(d->status, key) : NULL;
}

static const json_t *error_of(const json_t *record)
{
	const json_t *error = json_object_get(record, "error");

	return json_is_object(error) ? error : NULL;
}

static bool known(const json_t *status)
{
	const json_t *helper = json_object_get(status, "helper");

	return json_is_object(json_object_get(status, "vmm")) &&
	       flag(json_object_get(status, "storage"), "known") &&
	       (error_of(helper) || render_int(helper, "slots") > 0);
}

void doctor_ask(struct doctor *d)
{
	const struct timespec pause = {.tv_nsec = ASK_PAUSE_MS * 1000000L};
	time_t end = time(NULL) + ASK_DEADLINE_S;

	do {
		bg_err_free(TAKE_PTR(d->err));
		json_decref(d->status);
		d->status = NULL;
		if (client_call(d->cli, CLIENT_START, ROUTE_DAEMON_STATUS, NULL, NULL, &d->status,
			    &d->err) < 0 ||
			known(d->status))
			return;
		(void)nanosleep(&pause, NULL);
	} while (time(NULL) < end);
}

void check_daemon(const struct doctor *d, struct finding *f)
{
	const char *version = d->status ? render_text(d->status, "version") : "";

	if (!d->status) {
		finding_set(f, FINDING_FAIL, "it does not start: %s", d->err->message);
		finding_hint(f, "%s", d->err->hint ? d->err->hint : d->cli->paths.log_file);
	} else if (!bg_streq(version, BG_VERSION)) {
		finding_set(f, FINDING_WARN, "version %s runs, and this is banger %s", version,
			BG_VERSION);
		finding_hint(f, "`banger daemon restart`: VMs keep running");
		f->fix = FIX_RESTART;
	} else if (json_is_object(part(d, "config_error"))) {
		finding_error(f, FINDING_WARN, part(d, "config_error"));
	} else if (flag(d->status, "config_changed")) {
		finding_set(f, FINDING_WARN, "%s was changed since it started",
			render_text(d->status, "config"));
		finding_hint(f, "`banger daemon restart` reads it; VMs keep running");
		f->fix = FIX_RESTART;
	} else {
		finding_set(f, FINDING_OK, "version %s runs, pid %lld; its log: %s", version,
			(long long)render_int(d->status, "pid"), render_text(d->status, "log"));
	}
}

void check_vmm(const struct doctor *d, struct finding *f)
{
	const json_t *vmm = part(d, "vmm");

	if (!d->status)
		finding_set(f, FINDING_WARN, "not known: the daemon chooses");
	else if (error_of(vmm))
		finding_error(f, FINDING_FAIL, error_of(vmm));
	else if (!json_is_object(vmm))
		finding_set(f, FINDING_FAIL, "the daemon's probe did not end within %d s",
			ASK_DEADLINE_S);
	else
		finding_set(f, FINDING_OK, "VMs run under %s %s: %s", render_text(vmm, "path"),
			render_text(vmm, "version"), render_text(vmm, "reason"));
}

/* ---- KVM ---- */

_noreturn_ static void kvm_child(int out)
{
	struct kvm_verdict verdict;

	kvm_probe_run(&verdict);
	(void)bg_write_all(out, &verdict, sizeof(verdict));
	_exit(0);
}

/* The engine does the same at its start, and only tells it where it matters to its choice. */
static void try_kvm(struct kvm_verdict *ret)
{
	struct pollfd pfd = {.events = POLLIN};
	int ends[2];
	pid_t pid;

	*ret = (struct kvm_verdict){.error = ETIMEDOUT, .step = KVM_STEP_MAX_};
	if (pipe2(ends, O_CLOEXEC) < 0 || (pid = fork()) < 0) {
		ret->error = errno;
		return;
	}
	if (pid == 0)
		kvm_child(ends[1]);
	bg_close(ends[1]);
	pfd.fd = ends[0];
	if (poll(&pfd, 1, KVM_PROBE_DEADLINE_USEC / 1000) <= 0)
		(void)kill(pid, SIGKILL);
	else if (bg_read_exact(ends[0], ret, sizeof(*ret)) < 0)
		*ret = (struct kvm_verdict){.error = ECHILD, .step = KVM_STEP_MAX_};
	bg_close(ends[0]);
	(void)waitpid(pid, NULL, 0);
}

void check_kvm(const struct doctor *d, struct finding *f)
{
	struct kvm_verdict verdict;
	char text[160];

	(void)d;
	try_kvm(&verdict);
	if (kvm_verdict_explain(&verdict, text, sizeof(text))) {
		finding_set(f, FINDING_OK, "%s", text);
		return;
	}
	finding_set(f, FINDING_WARN, "%s: guests run in software, about ten times slower", text);
	if (verdict.step == KVM_STEP_OPEN && verdict.error == ENOENT)
		finding_hint(f,
			"turn virtualization on in the firmware (or nested, in the hypervisor), "
			"then `sudo modprobe -a kvm_intel kvm_amd`");
	else if (verdict.step == KVM_STEP_OPEN)
		finding_hint(f, "`sudo usermod -aG kvm $USER`, then log in again");
	else
		finding_hint(f, "use a machine whose processor, or whose hypervisor (nested "
				"virtualization), runs guests itself; "
				"small VMs work all the same");
}

/* ---- helpers ---- */

/* Rights as they are in the file system. False, and the finding, when it cannot work as it lies there. */
static bool lies_well(const char *path, struct finding *f)
{
	_err_ struct bg_err *err = NULL;

	if (priv_helper_check(path, &err) >= 0)
		return true;
	finding_set(f, FINDING_FAIL, "%s", err->message);
	finding_hint(f, "%s", err->hint);
	return false;
}

/* A helper without its rights refuses for whatever it stumbles over first: what it lacks says more. */
static void tell_refusal(const json_t *helper, struct finding *f)
{
	const char *path = render_text(helper, "path");

	if (access(path, F_OK) < 0 || lies_well(path, f))
		finding_error(f, FINDING_FAIL, error_of(helper));
}

void check_helper(const struct doctor *d, struct finding *f)
{
	const json_t *helper = part(d, "helper"), *taps = part(d, "taps");

	if (!helper) {
		/* Whether it fits this build only the daemon can ask it. */
		if (lies_well(priv_helper_path(), f))
			finding_set(f, FINDING_OK,
				"%s is installed and has its rights; nobody asked it",
				priv_helper_path());
	} else if (error_of(helper)) {
		tell_refusal(helper, f);
	} else if (render_int(helper, "slots") == 0) {
		finding_set(f, FINDING_FAIL, "%s does not answer", render_text(helper, "path"));
	} else {
		finding_set(f, FINDING_OK,
			"%s: installed, version matches; up to %lld VMs, %lld of %lld taps "
			"ready",
			render_text(helper, "path"), (long long)render_int(helper, "slots"),
			(long long)render_int(taps, "ready"), (long long)render_int(taps, "size"));
	}
}

/* The file is the administrator's and for everybody to read. */
static bool keeper_is_used(void)
{
	_free_ char *text = NULL;
	char *at = NULL, word[8];

	if (bg_read_file_at(AT_FDCWD, "/etc/banger/privhelper.conf", 4096, &text, NULL) < 0)
		return false;
	for (char *line = strtok_r(text, "\n", &at); line; line = strtok_r(NULL, "\n", &at))
		if (sscanf(line, " keeper = %7s", word) == 1 && bg_streq(word, "yes"))
			return true;
	return false;
}

/* What lies in the range of the VMs' addresses, and who holds up the rules around them. */
void check_fence(const struct doctor *d, struct finding *f)
{
	const char *gateway = render_text(part(d, "helper"), "gateway");
	bool systemd = access("/run/systemd/system", F_OK) == 0;
	char route[PRIV_ROUTE_TEXT];

	if (priv_route_overlap(gateway, route)) {
		finding_set(f, FINDING_FAIL,
			"the route %s overlaps with the VMs' addresses around %s", route, gateway);
		finding_hint(f,
			"let the administrator choose another pool in /etc/banger/privhelper.conf");
	} else if (keeper_is_used()) {
		finding_set(f, FINDING_OK, "banger-keeper holds up the rules around VMs");
	} else {
		finding_set(f, systemd ? FINDING_WARN : FINDING_OK,
			"banger-keeper does not run: while root reloads its firewall, the rules "
			"around "
			"VMs depend on each user's helper");
		finding_hint(f, systemd ? "`sudo scripts/install-helper`"
					: "docs/privilege.md, \"The keeper\"");
	}
}

/* ---- the store ---- */

static const struct {
	const char *mode, *text, *hint;
} store_modes[] = {
	{"full", "there is no room for it: what is not a deletion fails",
		"free some room: `banger image list`, `banger vm list`"},
	{"read-only", "it cannot be written to", "`banger daemon status --json` says why"},
	{"silent", "the disk has not answered for 5 s", "look at the disk of banger's state"},
};

/* One of several: they stand behind each other. Both are taken; NULL: out of memory. */
static void remark(struct finding *f, char *text, char *hint)
{
	_free_ char *own_text = text, *own_hint = hint;
	_free_ char *old_text = TAKE_PTR(f->text), *old_hint = TAKE_PTR(f->hint);
	const char *sep = old_text ? "; " : "";

	finding_set(
		f, FINDING_WARN, "%s%s%s", old_text ? old_text : "", sep, own_text ? own_text : "");
	finding_hint(f, "%s%s%s", old_hint ? old_hint : "", sep, own_hint ? own_hint : "");
}

static _printf_(1, 2) char *text_of(const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = vasprintf(&text, fmt, ap);
	va_end(ap);
	return r < 0 ? NULL : text;
}

/* Folders that nothing names: each is told of, and where it lies. */
static void tell_orphans(const struct doctor *d, const json_t *orphans, struct finding *f)
{
	const json_t *first = json_array_get(orphans, 0);
	size_t n = json_array_size(orphans);

	if (n == 0)
		return;
	remark(f,
		text_of("%zu folder%s of no known VM, image or kernel: %s \"%s\" in %s, %s%s", n,
			n == 1 ? "" : "s", render_text(first, "kind"), render_text(first, "name"),
			render_text(first, "path"), render_text(first, "why"),
			n > 1 ? "; and others" : ""),
		text_of("look into it below %s; when nothing of it is needed: `banger doctor "
			"--remove %s`",
			d->cli->paths.state_dir, render_text(first, "path")));
}

static void tell_missing(const json_t *missing, struct finding *f)
{
	const json_t *first = json_array_get(missing, 0);
	const char *name = render_text(first, "name");
	size_t n = json_array_size(missing);

	if (n == 0)
		return;
	remark(f,
		text_of("the disks of %zu VM%s are missing: of \"%s\" there is no %s%s", n,
			n == 1 ? "" : "s", name, render_text(first, "path"),
			n > 1 ? ", and others" : ""),
		text_of("put them back there; or give the VM up: `banger vm delete %s`", name));
}

static void tell_notes(const json_t *notes, struct finding *f)
{
	size_t n = json_array_size(notes);

	if (n > 0)
		remark(f, text_of("%s", json_string_value(json_array_get(notes, n - 1))),
			text_of("`banger daemon status --json` has all of it, under store.notes"));
}

static void tell_unused(const json_t *unused, struct finding *f)
{
	char size[BG_SIZE_TEXT];
	long long n = render_int(unused, "files");

	if (n > 0)
		f->fix = FIX_PRUNE;
	if (n > 0)
		remark(f,
			text_of("%lld file%s of images that nothing names, %s", n,
				n == 1 ? "" : "s",
				bg_size_print((uint64_t)render_int(unused, "bytes"), size)),
			text_of("`banger image prune` removes %s", n == 1 ? "it" : "them"));
}

static bool tell_mode(const json_t *store, struct finding *f)
{
	const char *mode = render_text(store, "mode");

	for (size_t i = 0; i < ARRAY_SIZE(store_modes); i++) {
		if (!bg_streq(mode, store_modes[i].mode))
			continue;
		finding_set(
			f, FINDING_WARN, "%s: %s", render_text(store, "file"), store_modes[i].text);
		finding_hint(f, "%s", store_modes[i].hint);
		return true;
	}
	return false;
}

void check_store(const struct doctor *d, struct finding *f)
{
	const json_t *store = part(d, "store");

	if (!store) {
		finding_set(f, FINDING_WARN, "not known: the daemon has it");
		return;
	}
	if (tell_mode(store, f))
		return;
	tell_missing(json_object_get(store, "missing"), f);
	tell_orphans(d, json_object_get(store, "orphans"), f);
	tell_notes(json_object_get(store, "notes"), f);
	tell_unused(json_object_get(store, "unused"), f);
	if (!f->text)
		finding_set(f, FINDING_OK, "%s", render_text(store, "file"));
}

/* Not a fault of the host: such a kernel may be meant to be so. */
static void tell_copied(const json_t *kernels, struct finding *f)
{
	_free_ char *reason = NULL, *names = NULL;

	if (json_array_size(kernels) == 0)
		return;
	names = render_list(kernels);
	reason = f->text ? strdup(f->text) : NULL;
	finding_set(f, FINDING_WARN, "%s; not with kernel %s, whose VMs get copies",
		reason ? reason : "", names ? names : "");
	finding_hint(f, "import it again: `banger kernel import --replace --name NAME FILE`");
}

void check_disk_helper(const struct doctor *d, struct finding *f)
{
	const json_t *helper = part(d, "disk_helper");

	if (!helper)
		finding_set(f, FINDING_OK, "%s is %s", priv_disk_helper_path(),
			access(priv_disk_helper_path(), F_OK) == 0 || errno == EACCES
				? "installed; nobody asked it"
				: "not installed");
	else if (flag(helper, "ok"))
		finding_set(f, FINDING_OK, "%s works", render_text(helper, "path"));
	else
		finding_set(f, FINDING_OK, "not installed, and not needed: storage is %s",
			render_text(part(d, "storage"), "driver"));
}

void check_storage(const struct doctor *d, struct finding *f)
{
	const json_t *storage = part(d, "storage");
	const char *reason = render_text(storage, "reason"),
		   *driver = render_text(storage, "driver");

	if (!storage) {
		finding_set(f, FINDING_WARN, "not known: the daemon chooses");
	} else if (error_of(storage)) {
		finding_error(f, FINDING_FAIL, error_of(storage));
	} else if (!flag(storage, "known")) {
		finding_set(f, FINDING_WARN, "not chosen yet: the disk helper does not answer");
	} else {
		finding_set(f, FINDING_OK, "%s", *reason ? reason : driver);
		tell_copied(json_object_get(storage, "copied_kernels"), f);
	}
}

/* Nothing needs them: VMs run as well without. */
void check_limits(const struct doctor *d, struct finding *f)
{
	const json_t *limits = part(d, "limits");

	if (!limits)
		finding_set(f, FINDING_OK, "not known: the daemon asks systemd for them");
	else
		finding_set(f, FINDING_OK, "%s%s", flag(limits, "on") ? "" : "VMMs have none: ",
			render_text(limits, "reason"));
}

/* ---- names ---- */

#define RESOLVED_SOCKET "/run/systemd/resolve/io.systemd.Resolve"
#define RESOLVED_RULE	"/etc/udev/rules.d/13-banger-names.rules"

void check_names(const struct doctor *d, struct finding *f)
{
	const json_t *dns = part(d, "dns");
	bool resolved = access(RESOLVED_SOCKET, F_OK) == 0;

	if (!dns) {
		finding_set(f, FINDING_WARN, "not known: the daemon answers them");
	} else if (error_of(dns)) {
		finding_error(f, FINDING_WARN, error_of(dns));
	} else if (!*render_text(dns, "address")) {
		finding_set(f, FINDING_OK, "NAME.vm is not answered: config.toml says dns = \"\"");
	} else if (resolved && access(RESOLVED_RULE, F_OK) == 0) {
		finding_set(f, FINDING_OK,
			"NAME.vm is answered at %s; systemd-resolved asks there for this host",
			render_text(dns, "address"));
	} else {
		finding_set(f, FINDING_WARN, "guests resolve NAME.vm at %s, this host does not%s",
			render_text(dns, "address"),
			resolved ? "" : ": systemd-resolved does not run");
		finding_hint(f, "%s",
			resolved ? "`sudo scripts/install-helper --names`"
				 : "see docs/names.md; `banger vm ssh NAME` needs no name");
	}
}
