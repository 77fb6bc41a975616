/* SPDX-License-Identifier: ISC */
/* daemon/vm/gap.c: guests that stood still, and what is put right in them; the guests are played. */
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common/json.h"
#include "daemon/driver/guest.h"
#include "daemon/vm/health.h"
#include "tests/fsm/world.h"
#include "tests/lib/test.h"

enum { HOUR_MS = 3600 * 1000 };

static struct world w;
static long slept_s;

/* In place of libc's: this host has slept. */
int clock_gettime(clockid_t clock, struct timespec *ts)
{
	int r = (int)syscall(SYS_clock_gettime, clock, ts);

	if (r == 0 && clock == CLOCK_BOOTTIME)
		ts->tv_sec += slept_s;
	return r;
}

static struct vm *vm(const char *name)
{
	return vms_find(w.engine.vms, name);
}

static void open_with(const char *behaviour)
{
	world_open(&w, behaviour);
	CHECK_INT(health_new(&w.engine, &w.engine.health, NULL), 0);
	CHECK_INT(world_create(&w, "a", true), OP_DONE);
}

static void close_all(void)
{
	struct health *health = w.engine.health;

	w.engine.health = NULL;
	CHECK_INT(world_ask(&w, "a", VM_EV_DELETE), OP_DONE);
	world_check_empty(&w);
	health_free(health);
}

static bool is_recorded(struct world *world, void *userdata)
{
	return vm("a")->gap.recorded;
}

static bool is_asked(struct world *world, void *userdata)
{
	return vm("a")->gap.seen;
}

static bool was_heard_since(struct world *world, void *userdata)
{
	return guest_heard_usec(vm("a")->guest) > *(const uint64_t *)userdata;
}

/* The ping was sent longer ago than the gap will be long. */
static bool ping_took_long(struct world *world, void *userdata)
{
	static uint64_t since;

	if (!vm("a")->ping)
		since = 0;
	else if (!since)
		since = loop_now_usec();
	return since && loop_now_usec() - since > 2000 * 1000;
}

static void on_look(void *userdata)
{
}

/* A ping's answer of after now. */
static void next_pong(void)
{
	uint64_t now = loop_now_usec();

	(void)health_look(w.engine.health, NULL, on_look, NULL);
	world_run(&w, was_heard_since, &now);
}

static void expect_gap(const char *after, int64_t step_ms, bool done)
{
	_json_ json_t *record = vm_to_json(vm("a"));
	const json_t *gap = json_object_get(record, "gap");
	int64_t step = json_integer_value(json_object_get(gap, "step_ms"));

	CHECK_STR(json_string_value(json_object_get(gap, "after")), after);
	CHECK_INT(step, step_ms);
	CHECK_INT(json_is_true(json_object_get(gap, "clock")), done);
	CHECK_INT(json_is_true(json_object_get(gap, "randomness")), done);
	CHECK_INT(json_is_true(json_object_get(gap, "network")), done);
	CHECK_INT(vm("a")->gap.owed, false);
}

static void expect_no_gap(void)
{
	_json_ json_t *record = vm_to_json(vm("a"));

	CHECK(json_is_null(json_object_get(record, "gap")));
}

TEST(who_resumes_a_vm_says_so)
{
	open_with("gap=3600000");
	world_run(&w, is_asked, NULL);
	expect_no_gap();
	CHECK_INT(kill((pid_t)vm("a")->row->pid, SIGCONT), 0);
	vm_gap(vm("a"), GAP_RESUME);
	world_run(&w, is_recorded, NULL);
	expect_gap("resume", HOUR_MS, true);
	close_all();
}

/* Nobody says it: its clocks are asked at the next ping. */
TEST(a_gap_is_noticed)
{
	open_with("gap=3600000");
	world_run(&w, is_asked, NULL);
	CHECK_INT(kill((pid_t)vm("a")->row->pid, SIGCONT), 0);
	(void)health_look(w.engine.health, NULL, on_look, NULL);
	world_run(&w, is_recorded, NULL);
	expect_gap("clock", HOUR_MS, true);
	close_all();
}

/* The ping was sent before it stood still, so its answer proves nothing; the next one does. */
TEST(a_gap_in_the_middle_of_a_ping_is_noticed)
{
	open_with("gap=1500");
	world_run(&w, is_asked, NULL);
	CHECK_INT(kill((pid_t)vm("a")->row->pid, SIGSTOP), 0);
	(void)health_look(w.engine.health, NULL, on_look, NULL);
	world_run(&w, ping_took_long, NULL);
	CHECK_INT(kill((pid_t)vm("a")->row->pid, SIGCONT), 0);
	world_run(&w, is_recorded, NULL);
	expect_gap("clock", 1500, true);
	close_all();
}

/* It lags, but it has not stood still. */
TEST(a_clock_that_its_user_sets_back_is_left_alone)
{
	open_with(NULL);
	world_run(&w, is_asked, NULL);
	CHECK_INT(kill((pid_t)vm("a")->row->pid, SIGHUP), 0);
	next_pong();
	next_pong();
	expect_no_gap();
	close_all();
}

/* A boot without a battery's clock, or a sleep that no daemon saw. */
TEST(a_conversation_begins_with_a_look_at_the_clock)
{
	open_with("clock=-7200000");
	world_run(&w, is_recorded, NULL);
	expect_gap("clock", 2 * HOUR_MS, true);
	close_all();
}

TEST(an_old_agent_is_tolerated_and_shown)
{
	_json_ json_t *record = NULL;

	open_with("old-agent clock=-7200000");
	record = vm_to_json(vm("a"));
	CHECK(json_is_string(json_object_get(record, "agent_note")));
	next_pong();
	expect_no_gap();
	vm_gap(vm("a"), GAP_RESUME);
	world_run(&w, is_recorded, NULL);
	expect_gap("resume", 0, false);
	CHECK_STR(vm_health(vm("a")), "ok");
	close_all();
}

/* What was not answered is said again. */
TEST(a_guest_that_reboots_meanwhile)
{
	open_with("reboot-gap");
	world_run(&w, is_asked, NULL);
	vm_gap(vm("a"), GAP_FORK);
	world_run(&w, is_recorded, NULL);
	expect_gap("fork", 0, true);
	close_all();
}

/* A guest that its user does not trust: nothing is reckoned that has no number. */
TEST(a_guest_with_wild_clocks)
{
	open_with("wild-clock");
	vm_gap(vm("a"), GAP_RESUME);
	world_run(&w, is_recorded, NULL);
	next_pong();
	next_pong();
	CHECK_STR(vm_health(vm("a")), "ok");
	close_all();
}

TEST(a_paused_vm_is_told_when_it_goes_on)
{
	open_with(NULL);
	world_run(&w, is_asked, NULL);
	vm("a")->paused = true;
	vm_gap(vm("a"), GAP_HOST_SLEEP);
	CHECK(!vm("a")->gap.call);
	vm("a")->paused = false;
	next_pong();
	world_run(&w, is_recorded, NULL);
	expect_gap("host_sleep", 0, true);
	close_all();
}

/* The health timer's next turn sees it, for all that runs. */
TEST(this_host_has_slept)
{
	open_with(NULL);
	world_run(&w, is_asked, NULL);
	slept_s = 20;
	world_run(&w, is_recorded, NULL);
	expect_gap("host_sleep", 0, true);
	slept_s = 0;
	close_all();
}
