/* SPDX-License-Identifier: ISC */
/* Changes of VMs (`vm set`), their labels and published ports, and a hundred of them at once. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/fd.h"
#include "common/json.h"
#include "daemon/driver/relay.h"
#include "daemon/trash.h"
#include "daemon/vm/labels.h"
#include "daemon/vm/vm_set.h"
#include "tests/fsm/world.h"
#include "tests/lib/test.h"

extern void storage_fake_fail(unsigned nth);

static struct world w;

static struct vm *vm(const char *name)
{
	return vms_find(w.engine.vms, name);
}

/* The code of the refusal, or of the operation's end; "" when it went well. */
static const char *change(const char *name, const struct vm_change *c)
{
	static char code[64];
	_err_ struct bg_err *err = NULL;
	struct op *op;

	if (vm_ask(vm(name), VM_EV_SET, &(struct vm_options){.change = c}, &op, &err) < 0) {
		CHECK(!vm(name)->op);
		snprintf(code, sizeof(code), "%s", bg_err_code_str(err->code));
		return code;
	}
	(void)world_wait(&w, op);
	return world_last_code();
}

static uint64_t size_of(const char *path)
{
	struct stat st;

	CHECK_INT(stat(path, &st), 0);
	return (uint64_t)st.st_size;
}

TEST(sizes_of_a_stopped_vm)
{
	struct vm_change c = {.vcpus = 3, .memory_mib = 2048, .disk_mib = 64, .work_mib = 48};

	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "a", false), OP_DONE);
	CHECK_STR(change("a", &c), "");
	world_reopen(&w);
	CHECK_INT(vm("a")->row->vcpus, 3);
	CHECK_INT(vm("a")->row->memory_mib, 2048);
	CHECK_INT(vm("a")->row->disk_mib, 64);
	CHECK_INT(size_of(vm("a")->paths.disk_root), 64 * MIB);
	CHECK_INT(size_of(vm("a")->paths.disk_work), 48 * MIB);
	CHECK_INT(world_ask(&w, "a", VM_EV_START), OP_DONE);
	CHECK_INT(world_ask(&w, "a", VM_EV_DELETE), OP_DONE);
	world_check_empty(&w);
}

TEST(disks_do_not_shrink)
{
	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "a", false), OP_DONE);
	CHECK_STR(change("a", &(struct vm_change){.disk_mib = 8}), "vm.limits");
	CHECK_STR(change("a", &(struct vm_change){.work_mib = 8, .vcpus = 3}), "vm.limits");
	CHECK(vm("a")->row->vcpus != 3);
	CHECK_STR(change("a", &(struct vm_change){.disk_mib = 16}), ""); /* as large as it is */
	CHECK_INT(size_of(vm("a")->paths.disk_root), 16 * MIB);
}

TEST(a_disk_that_is_gone)
{
	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "a", false), OP_DONE);
	CHECK_INT(unlink(vm("a")->paths.disk_root), 0);
	CHECK_STR(change("a", &(struct vm_change){.disk_mib = 64, .vcpus = 3}), "io");
	CHECK_INT(vm("a")->row->disk_mib, 16);
	CHECK(vm("a")->row->vcpus != 3 && !vm("a")->op && !vm("a")->error);
}

TEST(what_a_running_vm_cannot_be_given)
{
	struct vm_change c = {.has_nat = true, .nat = true, .memory_mib = 4096};

	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "a", true), OP_DONE);
	CHECK_STR(change("a", &c), "vm.wrong_state");
	CHECK(!vm("a")->row->nat && net_fake_nat(w.engine.net) == 0); /* nor the rest of it */
	CHECK_STR(change("a", &(struct vm_change){.vcpus = 9}), "vm.wrong_state");
	CHECK_STR(change("a", &(struct vm_change){.vcpus = vm("a")->row->vcpus}), "");
	CHECK_STR(change("a", &(struct vm_change){0}), "request.invalid");
}

TEST(disks_of_a_running_vm)
{
	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "a", true), OP_DONE);
	CHECK_STR(change("a", &(struct vm_change){.disk_mib = 64, .work_mib = 32}), "");
	CHECK_INT(size_of(vm("a")->paths.disk_root), 64 * MIB);
	CHECK_INT(size_of(vm("a")->paths.disk_work), 32 * MIB);
	CHECK_INT(vm("a")->row->disk_mib, 64);
	CHECK_INT(vm("a")->row->state, VM_RUNNING);
	CHECK(vm("a")->ready && !vm("a")->error);
}

/* The disk is larger all the same, which its next start finds. */
static void grow_fails(const char *behaviour, const char *code)
{
	world_open(&w, behaviour);
	CHECK_INT(world_create(&w, "a", true), OP_DONE);
	CHECK_STR(change("a", &(struct vm_change){.disk_mib = 64}), code);
	CHECK_INT(vm("a")->row->disk_mib, 64);
	CHECK(!vm("a")->op && !vm("a")->error);
	CHECK_INT(world_ask(&w, "a", VM_EV_DELETE), OP_DONE);
	world_check_empty(&w);
}

TEST(a_guest_that_cannot_grow)
{
	grow_fails("no-exec", "agent.failed");
}

static bool is_idle(struct world *world, void *userdata)
{
	(void)world;
	(void)userdata;
	return !vm("a")->op;
}

TEST(a_vm_that_dies_while_it_grows)
{
	world_open(&w, "die-exec");
	CHECK_INT(world_create(&w, "a", true), OP_DONE);
	CHECK_STR(change("a", &(struct vm_change){.disk_mib = 64}), "agent.failed");
	world_run(&w, is_idle, NULL); /* what it had is taken away in an operation of its own */
	CHECK_INT(vm("a")->row->state, VM_STOPPED);
	CHECK_INT(world_ask(&w, "a", VM_EV_DELETE), OP_DONE);
	world_check_empty(&w);
}

TEST(a_growth_that_is_cancelled)
{
	struct vm_change c = {.disk_mib = 64, .vcpus = 0};
	struct op *op;

	world_open(&w, "mute-exec");
	CHECK_INT(world_create(&w, "a", true), OP_DONE);
	CHECK_INT(vm_ask(vm("a"), VM_EV_SET, &(struct vm_options){.change = &c}, &op, NULL), 0);
	w.cancel_at = "change";
	CHECK_INT(world_wait(&w, op), OP_CANCELLED);
	CHECK_INT(vm("a")->row->state, VM_RUNNING);
	CHECK_INT(world_ask(&w, "a", VM_EV_DELETE), OP_DONE);
	world_check_empty(&w);
}

static const char *label(const char *name, const char *json)
{
	json_t *labels = json_loads(json, 0, NULL);
	const char *code;

	CHECK(labels);
	code = change(name, &(struct vm_change){.labels = labels});
	json_decref(labels);
	return code;
}

TEST(labels_of_a_vm)
{
	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "a", true), OP_DONE);
	CHECK_STR(label("a", "{\"env\": \"test\", \"a.b/c-d\": \"\"}"), "");
	CHECK_STR(vm("a")->row->labels, "{\"a.b/c-d\":\"\",\"env\":\"test\"}");
	CHECK_STR(label("a", "{\"env\": \"prod\", \"a.b/c-d\": null}"), "");
	world_reopen(&w);
	CHECK_STR(vm("a")->row->labels, "{\"env\":\"prod\"}");
	CHECK_STR(label("a", "{\"other\": null}"), "request.invalid");
	CHECK_STR(label("a", "{\"b\\u00e4d\": \"x\"}"), "request.invalid");
	CHECK_STR(label("a", "{\"env\": 1}"), "request.invalid");
	CHECK_STR(label("a", "{\"env\": \"two\\nlines\"}"), "request.invalid");
	CHECK_STR(vm("a")->row->labels, "{\"env\":\"prod\"}");
	CHECK_STR(label("a", "{\"env\": null}"), "");
	CHECK(!vm("a")->row->labels);
}

TEST(too_many_labels)
{
	_json_ json_t *labels = json_object();
	_err_ struct bg_err *err = NULL;
	char key[16];
	char *text;

	for (int i = 0; i < BG_LABELS_MAX + 1; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		json_object_set_new(labels, key, json_string("v"));
	}
	CHECK(labels_apply(NULL, labels, &text, &err) < 0);
	CHECK_STR(bg_err_code_str(err->code), "request.invalid");
}

/* ---- published ports ---- */

static uint16_t free_port(void)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(sa);

	CHECK_INT(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	CHECK_INT(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	return ntohs(sa.sin_port);
}

static bool is_open(uint16_t port)
{
	return relay_try(port, NULL) == -EADDRINUSE;
}

/* {host, guest} pairs, ended by 0, as the API's body has them. */
static json_t *ports(int host, ...)
{
	json_t *list = json_array();
	va_list ap;

	va_start(ap, host);
	for (; host; host = va_arg(ap, int))
		json_array_append_new(
			list, json_pack("{s:i, s:i}", "host", host, "guest", va_arg(ap, int)));
	va_end(ap);
	return list;
}

static const char *publish(const char *name, json_t *add, json_t *remove)
{
	const char *code = change(name, &(struct vm_change){.publish = add, .unpublish = remove});

	json_decref(add);
	json_decref(remove);
	return code;
}

TEST(ports_are_open_while_the_vm_runs)
{
	uint16_t a = free_port(), b = free_port();

	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "v", false), OP_DONE);
	CHECK_STR(publish("v", ports(a, 80, b, 443, 0), NULL), "");
	CHECK(!is_open(a) && !is_open(b));
	CHECK_INT(world_ask(&w, "v", VM_EV_START), OP_DONE);
	CHECK(is_open(a) && is_open(b));
	CHECK_STR(publish("v", ports(a, 8000, 0), json_pack("[i]", b)), "");
	CHECK(is_open(a) && !is_open(b));
	world_reopen(&w);
	CHECK(is_open(a) && vm("v")->row->publish);
	CHECK_INT(world_ask(&w, "v", VM_EV_STOP), OP_DONE);
	CHECK(!is_open(a));
	CHECK_INT(world_ask(&w, "v", VM_EV_START), OP_DONE);
	CHECK(is_open(a));
	CHECK_INT(world_ask(&w, "v", VM_EV_DELETE), OP_DONE);
	CHECK(!is_open(a));
	world_check_empty(&w);
}

/* The last that is asked for cannot be had: what came before it is as it was. */
TEST(a_change_that_fails_late_changes_nothing)
{
	uint16_t a = free_port(), b = free_port();
	json_t *more = ports(b, 443, 0);
	const struct vm_change c = {.has_nat = true, .nat = true, .name = "taken", .publish = more};
	struct op *op;

	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "v", true), OP_DONE);
	CHECK_STR(publish("v", ports(a, 80, 0), NULL), "");
	CHECK_INT(vm_ask(vm("v"), VM_EV_SET, &(struct vm_options){.change = &c}, &op, NULL), 0);
	CHECK_INT(world_create(&w, "taken", false), OP_DONE);
	CHECK_INT(world_wait(&w, op), OP_FAILED);
	CHECK_STR(world_last_code(), "vm.name_taken");
	CHECK(is_open(a) && !is_open(b));
	CHECK(!strstr(vm("v")->row->publish, "443"));
	CHECK(!vm("v")->row->nat && net_fake_nat(w.engine.net) == 0);
	CHECK(!vm("v")->op && !vm("v")->error);
	json_decref(more);
	CHECK_INT(world_ask(&w, "taken", VM_EV_DELETE), OP_DONE);
	CHECK_INT(world_ask(&w, "v", VM_EV_DELETE), OP_DONE);
	world_check_empty(&w);
}

static bool is_stopped(struct world *world, void *userdata)
{
	return vm("v")->row->state == VM_STOPPED && !vm("v")->op;
}

TEST(ports_end_with_a_vmm_that_dies)
{
	uint16_t a = free_port();

	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "v", true), OP_DONE);
	CHECK_STR(publish("v", ports(a, 80, 0), NULL), "");
	CHECK(is_open(a));
	CHECK_INT(kill((pid_t)vm("v")->row->pid, SIGKILL), 0);
	world_run(&w, is_stopped, NULL);
	CHECK(!is_open(a));
}

TEST(a_port_belongs_to_one_vm)
{
	uint16_t a = free_port();

	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "v", false), OP_DONE);
	CHECK_INT(world_create(&w, "u", false), OP_DONE);
	CHECK_STR(publish("v", ports(a, 80, 0), NULL), "");
	CHECK_STR(publish("u", ports(a, 81, 0), NULL), "port.taken");
	CHECK(!vm("u")->row->publish);
	CHECK_STR(publish("v", NULL, json_pack("[i]", a)), "");
	CHECK(!vm("v")->row->publish);
	CHECK_STR(publish("v", NULL, json_pack("[i]", a)), "request.invalid");
	CHECK_STR(publish("u", ports(a, 81, 0), NULL), "");
}

TEST(ports_that_cannot_be)
{
	_json_ json_t *many = json_array(), *bad = json_pack("[{s:i}]", "host", 80);
	uint16_t port = 20000;

	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "v", false), OP_DONE);
	CHECK_STR(change("v", &(struct vm_change){.publish = bad}), "request.invalid");
	CHECK_STR(publish("v", ports(65536, 80, 0), NULL), "request.invalid");
	CHECK_STR(publish("v", ports(8080, 0, 0), NULL), "request.invalid");
	CHECK_STR(publish("v", ports(port, 80, port, 81, 0), NULL), "request.invalid");
	CHECK_STR(publish("v", ports(port, 80, port, 80, 0), NULL), "request.invalid");
	for (int n = 0; n <= BG_PUBLISH_MAX; port++)
		if (!is_open(port)) {
			json_array_append_new(
				many, json_pack("{s:i, s:i}", "host", port, "guest", 80));
			n++;
		}
	CHECK_STR(change("v", &(struct vm_change){.publish = many}), "vm.limits");
	CHECK(!vm("v")->row->publish);
}

/* Taken by a program that banger does not know: refused at once, and by a start that comes later.
 */
TEST(a_port_that_another_program_has)
{
	struct sockaddr_in target = {.sin_family = AF_INET};
	struct vm_request request = {.name = "u", .vcpus = 1};
	struct relay *other = NULL;
	_err_ struct bg_err *err = NULL;
	uint16_t a = free_port();
	json_t *wanted = ports(a, 80, 0);
	struct op *op;

	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "v", false), OP_DONE);
	CHECK_STR(publish("v", ports(a, 80, 0), NULL), "");
	CHECK_INT(relay_open(w.engine.loop, a, &target, &other, NULL), 0);
	CHECK_INT(world_ask(&w, "v", VM_EV_START), OP_FAILED);
	CHECK_STR(world_last_code(), "port.taken");
	CHECK_INT(vm("v")->row->state, VM_STOPPED);
	CHECK_INT(net_fake_attached(w.engine.net), 0);
	CHECK_INT(world_ask(&w, "v", VM_EV_DELETE), OP_DONE);
	request.publish = wanted;
	CHECK(vm_create(&w.engine, &request, &op, &err) < 0);
	CHECK_STR(bg_err_code_str(err->code), "port.taken");
	json_decref(wanted);
	relay_free(other);
	world_check_empty(&w);
}

/* ---- what is deleted ---- */

static bool trash_empty(struct world *world, void *userdata)
{
	return trash_is_empty(world->engine.trash);
}

/* Gone from sight at once, from the disk by a worker; what a crash leaves, by the next daemon. */
TEST(a_large_disk_goes_outside_of_the_loop)
{
	static char data[MIB];
	_close_ int fd = -1;

	memset(data, 1, sizeof(data));
	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "a", false), OP_DONE);
	fd = open(vm("a")->paths.disk_root, O_WRONLY | O_CLOEXEC);
	for (int i = 0; i < 16; i++)
		CHECK_INT(pwrite(fd, data, sizeof(data), (off_t)(i * 2 * MIB)), sizeof(data));
	fd = bg_close(fd);
	CHECK_INT(world_ask(&w, "a", VM_EV_DELETE), OP_DONE);
	CHECK(!vm("a"));
	CHECK_INT(world_create(&w, "a", false), OP_DONE);
	world_reopen(&w);
	CHECK(access(vm("a")->paths.disk_root, F_OK) == 0);
	CHECK(!trash_is_empty(w.engine.trash));
	world_run(&w, trash_empty, NULL);
	CHECK_INT(world_ask(&w, "a", VM_EV_DELETE), OP_DONE);
	world_check_empty(&w);
}

static bool all_ended(struct world *world, void *userdata)
{
	return ops_running(world->engine.ops) == 0;
}

static void delete_all(void)
{
	for (const struct vm *v = vms_first(w.engine.vms); v; v = v->next) {
		struct op *op;

		CHECK_INT(vm_ask((struct vm *)(uintptr_t)v, VM_EV_DELETE, &(struct vm_options){0},
				  &op, NULL),
			0);
	}
	world_run(&w, all_ended, NULL);
	world_check_empty(&w);
}

/* ---- turns to boot ---- */

static struct op *ask_create(const char *name)
{
	struct vm_request request = {.name = name, .vcpus = 1, .start = true};
	struct op *op;

	CHECK_INT(vm_create(&w.engine, &request, &op, NULL), 0);
	return op;
}

static const char *present_stage(const struct op *op)
{
	static char name[32];
	_json_ json_t *record = op_to_json(op);
	const json_t *stages = json_object_get(record, "stages");
	const json_t *stage = json_array_get(stages, json_array_size(stages) - 1);

	snprintf(name, sizeof(name), "%s", json_string_value(json_object_get(stage, "name")));
	return name;
}

static bool waits_for_turn(struct world *world, void *userdata)
{
	return bg_streq(present_stage(userdata), "turn");
}

static bool waits_for_guest(struct world *world, void *userdata)
{
	return bg_streq(present_stage(userdata), "boot");
}

static unsigned stages_named(const struct op *op, const char *name)
{
	_json_ json_t *record = op_to_json(op);
	const json_t *stage;
	unsigned n = 0;
	size_t i;

	json_array_foreach (json_object_get(record, "stages"), i, stage)
		n += bg_streq(json_string_value(json_object_get(stage, "name")), name);
	return n;
}

/* The time that a start waits for its turn is not taken from its guest's. */
TEST(a_boot_waits_for_its_turn_with_its_whole_time)
{
	struct op *a, *b;

	world_open(&w, "never-ready");
	w.config->boots_at_once = 1;
	w.config->boot_timeout_s = 4; /* b is to come to its turn meanwhile */
	a = ask_create("a");
	world_run(&w, waits_for_guest, a);
	world_set_behaviour("ready=3000");
	b = ask_create("b");
	world_run(&w, waits_for_turn, b);
	world_expect_children(&w, 1);
	CHECK_INT(world_wait(&w, a), OP_FAILED);
	CHECK_STR(world_last_code(), "vm.not_ready");
	CHECK_INT(world_wait(&w, b), OP_DONE);
	CHECK_INT(stages_named(a, "turn"), 0);
	CHECK_INT(stages_named(b, "turn"), 1);
	delete_all();
}

TEST(a_boot_that_is_cancelled_while_it_waits_for_its_turn)
{
	struct op *a, *b, *c;

	world_open(&w, "ready=300");
	w.config->boots_at_once = 1;
	a = ask_create("a");
	b = ask_create("b");
	c = ask_create("c");
	world_run(&w, waits_for_turn, c);
	CHECK_INT(op_cancel(b), 0);
	CHECK_INT(world_wait(&w, b), OP_CANCELLED);
	CHECK_INT(world_wait(&w, a), OP_DONE);
	CHECK_INT(world_wait(&w, c), OP_DONE);
	CHECK(!vm("b"));
	delete_all();
}

/* Nobody waits for ever behind one whose VMM could not even be started, or died. */
TEST(a_boot_that_fails_ends_its_turn)
{
	world_open(&w, "die=0");
	w.config->boots_at_once = 1;
	for (int i = 0; i < 3; i++)
		CHECK_INT(world_create(&w, i == 0 ? "a" : i == 1 ? "b" : "c", true), OP_FAILED);
	world_set_behaviour(NULL);
	CHECK_INT(unlink(w.init_path), 0);
	CHECK_INT(world_ask(&w, "a", VM_EV_START), OP_FAILED);
	CHECK_STR(world_last_code(), "host.tool_missing");
	CHECK_INT(bg_write_file_at(AT_FDCWD, w.init_path, "x", 1, 0600), 0);
	CHECK_INT(world_ask(&w, "b", VM_EV_START), OP_DONE);
	CHECK_INT(world_ask(&w, "b", VM_EV_RESTART), OP_DONE);
	delete_all();
}

/* An engine that ends while some wait: its successor finds them stopped, and boots them. */
TEST(turns_end_with_their_daemon)
{
	world_open(&w, "ready=60000");
	w.config->boots_at_once = 1;
	(void)ask_create("a");
	world_run(&w, waits_for_turn, ask_create("b"));
	world_reopen(&w);
	CHECK_INT(vm("b")->row->state, VM_STOPPED);
	world_set_behaviour(NULL);
	CHECK_INT(world_ask(&w, "b", VM_EV_START), OP_DONE);
	delete_all();
}

/* ---- a hundred ---- */

enum { HUNDRED = 100, SLOTS = 64 };

static void create_hundred(int64_t ids[HUNDRED], bool start)
{
	for (int i = 0; i < HUNDRED; i++) {
		struct vm_request request = {.vcpus = 1, .start = start};
		struct bg_err *err = NULL;
		struct op *op;

		CHECK_INT(vm_create(&w.engine, &request, &op, &err), 0);
		ids[i] = op_id(op);
	}
}

static unsigned count_ends(const int64_t ids[HUNDRED], const char *state, const char *code)
{
	unsigned n = 0;

	for (int i = 0; i < HUNDRED; i++) {
		struct op *op = op_find(w.engine.ops, ids[i]);
		_json_ json_t *record = op ? op_to_json(op) : NULL;
		const json_t *error = json_object_get(record, "error");

		CHECK(op);
		n += bg_streq(json_string_value(json_object_get(record, "state")), state) &&
		     bg_streq(json_string_value(json_object_get(error, "code")), code);
	}
	return n;
}

TEST(a_hundred_creates_at_once)
{
	int64_t ids[HUNDRED];

	world_open(&w, NULL);
	create_hundred(ids, false);
	world_run(&w, all_ended, NULL);
	CHECK_INT(count_ends(ids, "done", NULL), HUNDRED);
	CHECK_INT(vms_count(w.engine.vms, VM_STOPPED), HUNDRED);
	delete_all();
}

/* There are fewer network slots than that: the others say so, and stay stopped. */
TEST(a_hundred_creates_that_boot)
{
	int64_t ids[HUNDRED];

	world_open(&w, NULL);
	create_hundred(ids, true);
	world_run(&w, all_ended, NULL);
	CHECK_INT(count_ends(ids, "done", NULL), SLOTS);
	CHECK_INT(count_ends(ids, "failed", "helper.no_free_slot"), HUNDRED - SLOTS);
	CHECK_INT(vms_count(w.engine.vms, VM_RUNNING), SLOTS);
	CHECK_INT(vms_count(w.engine.vms, VM_STOPPED), HUNDRED - SLOTS);
	world_expect_children(&w, SLOTS);
	delete_all();
}

/* One clone, one card and one boot of the hundred fail: each with its reason, and nothing else. */
TEST(a_hundred_creates_of_which_some_fail)
{
	int64_t ids[HUNDRED];

	world_open(&w, NULL);
	storage_fake_fail(77);
	net_fake_fail(w.engine.net, 13);
	create_hundred(ids, true);
	world_run(&w, all_ended, NULL);
	CHECK_INT(count_ends(ids, "failed", "disk.full"), 1);
	CHECK_INT(count_ends(ids, "failed", "helper.failed"), 1);
	CHECK_INT(count_ends(ids, "done", NULL) + count_ends(ids, "failed", "helper.no_free_slot"),
		HUNDRED - 2);
	CHECK_INT(vms_count(w.engine.vms, VM_RUNNING) + vms_count(w.engine.vms, VM_STOPPED),
		HUNDRED - 1);
	delete_all();
}

TEST(a_hundred_creates_cancelled)
{
	int64_t ids[HUNDRED];

	world_open(&w, "never-ready");
	create_hundred(ids, true);
	for (int i = 0; i < HUNDRED; i++)
		(void)op_cancel(op_find(w.engine.ops, ids[i]));
	world_run(&w, all_ended, NULL);
	CHECK_INT(count_ends(ids, "cancelled", "cancelled"), HUNDRED);
	world_check_empty(&w);
}
