/* SPDX-License-Identifier: ISC */
/*
 * fake-vmm: plays a VMM with a guest in it, for tests that want neither QEMU nor a kernel. Started
 * by daemon/driver/vmm_fake.c as
 *
 *     fake-vmm -name banger-<id> NAME AGENT_SOCKET SERIAL_LOG
 *
 * It listens on AGENT_SOCKET and speaks the guest's side of common/agent_proto.h.
 * BANGER_FAKE_BEHAVIOUR is a list of words, each for all VMs or, as NAME:word, for one; the last
 * one counts:
 *
 *     ready=MS         everything is up MS milliseconds after the start (default 0)
 *     never-ready      root and network come up, sshd does not
 *     no-sshd          says that the image has no sshd
 *     die=MS           exits with status 1 after MS
 *     reboot=MS        the guest boots anew after MS
 *     no-socket        there is no agent socket at all
 *     deaf             the socket takes everything and answers nothing
 *     wrong-id         the guest says that it is another VM
 *     ignore-shutdown  says that it goes down, and stays
 *     ignore-term      SIGTERM does nothing
 *     no-exec          what is run in it fails, and says so
 *     mute-exec        what is run in it never ends
 *     die-exec         it exits with status 1 when something is to be run in it
 *     mute-ping        pings are not answered
 *     disk-repaired    says that its disk could not be written to once
 *     clock=MS         its clock is MS milliseconds ahead at the start
 *     gap=MS           each SIGCONT finds it MS milliseconds behind: all its clocks stood still
 *     old-agent        of a build that knows nothing of gaps
 *     wild-clock       its clocks and steps are as far off as a number can be
 *     reboot-gap       it boots anew instead of answering the first message of a gap
 *
 * and, which its driver knows itself:
 *
 *     no-pause, no-resume, no-save, no-load   refuses that
 *     die-save, die-load                      is killed by it
 *
 * Its memory is descriptor 3, and counts in its first bytes how often a fake was started on it; the serial
 * log says so.
 *
 * SIGUSR1: its guest resets the machine, which ends the process with status 0. SIGUSR2: its guest
 * halts. SIGHUP: its user sets the clock an hour back.
 */
#include <endian.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "common/agent_frame.h"
#include "common/clock.h"
#include "common/fd.h"

enum { ALL_UP = BG_AGENT_F_ROOT | BG_AGENT_F_NET | BG_AGENT_F_SSHD, NEVER = -1, LOOK_MS = 2000 };

struct fake {
	const char *name, *serial_log;
	uint8_t id[16];
	int listener, client;
	int64_t started;
	int64_t ready_ms, setup_ms, die_ms, reboot_ms; /* NEVER */
	int64_t gap_ms;				       /* for each SIGCONT */
	volatile sig_atomic_t gaps, hours;	       /* SIGCONTs and SIGHUPs that came */
	int64_t stood_ms, ahead_ms; /* how far its clocks are off: all, the wall's too */
	bool never_ready, no_sshd, no_manager, no_socket, deaf, wrong_id, ignore_shutdown,
		ignore_term, no_exec, mute_exec, die_exec, mute_ping, disk_repaired, old_agent,
		reboot_gap, wild_clock;
	uint32_t flags;
	bool open;
	struct bg_agent_reader reader;
};

static struct fake fake;

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void apply_word(const char *word)
{
	const struct {
		const char *name;
		bool *flag;
	} flags[] = {
		{"never-ready", &fake.never_ready},
		{"no-sshd", &fake.no_sshd},
		{"no-manager", &fake.no_manager},
		{"no-socket", &fake.no_socket},
		{"deaf", &fake.deaf},
		{"wrong-id", &fake.wrong_id},
		{"ignore-shutdown", &fake.ignore_shutdown},
		{"ignore-term", &fake.ignore_term},
		{"no-exec", &fake.no_exec},
		{"mute-exec", &fake.mute_exec},
		{"die-exec", &fake.die_exec},
		{"mute-ping", &fake.mute_ping},
		{"disk-repaired", &fake.disk_repaired},
		{"old-agent", &fake.old_agent},
		{"reboot-gap", &fake.reboot_gap},
		{"wild-clock", &fake.wild_clock},
	};
	static const char *const drivers[] = {
		"no-pause", "no-resume", "no-save", "no-load", "die-save", "die-load"};
	long ms;

	for (size_t i = 0; i < ARRAY_SIZE(drivers); i++)
		if (bg_streq(drivers[i], word))
			return;
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (bg_streq(flags[i].name, word)) {
			*flags[i].flag = true;
			return;
		}
	if (sscanf(word, "ready=%ld", &ms) == 1)
		fake.ready_ms = ms;
	else if (sscanf(word, "setup=%ld", &ms) == 1)
		fake.setup_ms = ms;
	else if (sscanf(word, "die=%ld", &ms) == 1)
		fake.die_ms = ms;
	else if (sscanf(word, "reboot=%ld", &ms) == 1)
		fake.reboot_ms = ms;
	else if (sscanf(word, "clock=%ld", &ms) == 1)
		fake.ahead_ms = ms;
	else if (sscanf(word, "gap=%ld", &ms) == 1)
		fake.gap_ms = ms;
	else {
		fprintf(stderr, "fake-vmm: behaviour \"%s\" is none\n", word);
		exit(2);
	}
}

static void read_behaviour(void)
{
	const char *env = getenv("BANGER_FAKE_BEHAVIOUR");
	_free_ char *words = strdup(env ? env : "");
	char *rest = words;

	fake.setup_ms = fake.die_ms = fake.reboot_ms = NEVER;
	for (char *word; (word = strsep(&rest, " "));) {
		char *colon = strchr(word, ':');

		if (colon) {
			*colon = '\0';
			if (!bg_streq(word, fake.name))
				continue;
			word = colon + 1;
		}
		if (*word)
			apply_word(word);
	}
}

static void send_in(
	uint32_t stream, enum bg_agent_type type, unsigned sub, const void *payload, size_t len)
{
	uint8_t buf[sizeof(struct bg_agent_head) + 64];
	struct bg_agent_head head;

	bg_agent_head_init(&head, type, stream, (uint16_t)sub, len);
	memcpy(buf, &head, sizeof(head));
	if (len > 0)
		memcpy(buf + sizeof(head), payload, len);
	if (fake.client >= 0 && send(fake.client, buf, sizeof(head) + len, MSG_NOSIGNAL) < 0)
		fake.client = bg_close(fake.client);
}

static void send_frame(enum bg_agent_type type, const void *payload, size_t len)
{
	send_in(0, type, 0, payload, len);
}

static void send_status(void)
{
	const struct bg_agent_status status = {.flags = htole32(fake.flags),
		.uptime_ms = htole32((uint32_t)(now_ms() - fake.started))};

	send_frame(BG_AGENT_STATUS, &status, sizeof(status));
}

static void on_hello(const struct bg_agent_frame *frame)
{
	struct bg_agent_welcome welcome = {.version = htole32(BG_AGENT_VERSION),
		.can = htole32(fake.old_agent ? 0 : BG_AGENT_CAN_GAP)};

	memcpy(welcome.nonce, frame->payload, sizeof(welcome.nonce));
	memcpy(welcome.vm_id, fake.id, sizeof(welcome.vm_id));
	if (fake.wrong_id)
		welcome.vm_id[0] ^= 0xff;
	send_frame(BG_AGENT_WELCOME, &welcome, sizeof(welcome));
	fake.open = true;
	send_status();
}

static void on_shutdown(void)
{
	const struct bg_agent_done done = {0};

	send_frame(BG_AGENT_DONE, &done, sizeof(done));
	if (!fake.ignore_shutdown)
		exit(0);
}

/* Whatever it is, it is done; or it could not be. */
static void on_exec(const struct bg_agent_frame *frame)
{
	static const char why[] = "the fake does not want to\n";
	const struct bg_agent_done done = {.status = htole32(fake.no_exec ? 1 << 8 : 0)};

	if (fake.die_exec)
		exit(1);
	if (fake.mute_exec)
		return;
	if (fake.no_exec)
		send_in(frame->stream, BG_AGENT_DATA, BG_AGENT_ERR, why, sizeof(why) - 1);
	send_in(frame->stream, BG_AGENT_DONE, 0, &done, sizeof(done));
}

static void on_reboot(void)
{
	fake.reboot_ms = NEVER;
	fake.open = false;
	bg_agent_reader_init(&fake.reader, BG_AGENT_END_GUEST);
	send_frame(BG_AGENT_BOOT, NULL, 0);
}

/* Signals are counted when its guest looks at the time. */
static int64_t guest_time_usec(void)
{
	for (; fake.gaps > 0; fake.gaps--) {
		fake.stood_ms += fake.gap_ms;
		fake.ahead_ms -= fake.gap_ms;
	}
	for (; fake.hours > 0; fake.hours--)
		fake.ahead_ms -= 3600 * 1000;
	return (int64_t)bg_now_usec(CLOCK_REALTIME) + fake.ahead_ms * 1000;
}

static void on_ping(const struct bg_agent_frame *frame)
{
	struct bg_agent_pong pong = {.time_usec = (int64_t)htole64((uint64_t)guest_time_usec())};

	pong.up_usec = htole64(bg_now_usec(CLOCK_BOOTTIME) - (uint64_t)fake.stood_ms * 1000);
	if (fake.wild_clock)
		pong = (struct bg_agent_pong){.time_usec = (int64_t)htole64(1ULL << 63),
			.up_usec = htole64(frame->payload[0] % 2 ? INT64_MAX : UINT64_MAX)};
	memcpy(pong.ping, frame->payload, sizeof(pong.ping));
	if (frame->sub == BG_AGENT_PING_TIME && !fake.old_agent)
		send_frame(BG_AGENT_PONG, &pong, sizeof(pong));
	else
		send_frame(BG_AGENT_PONG, frame->payload, frame->len);
}

static void on_gap(const struct bg_agent_frame *frame)
{
	struct bg_agent_gap gap;
	struct bg_agent_gap_done done = {0};

	memcpy(&gap, frame->payload, sizeof(gap));
	if (fake.reboot_gap) {
		fake.reboot_gap = false;
		on_reboot();
		return;
	}
	(void)guest_time_usec();
	done.number = gap.number;
	done.done = gap.parts;
	done.step_usec = (int64_t)htole64((uint64_t)(-fake.ahead_ms * 1000));
	fake.ahead_ms = 0;
	done.time_usec = (int64_t)htole64(bg_now_usec(CLOCK_REALTIME));
	if (fake.wild_clock) {
		done.step_usec = (int64_t)htole64(INT64_MAX);
		done.time_usec = (int64_t)htole64(1ULL << 63);
	}
	send_frame(BG_AGENT_GAP_DONE, &done, sizeof(done));
}

static void on_frame(const struct bg_agent_frame *frame)
{
	if (fake.deaf)
		return;
	if (frame->type == BG_AGENT_HELLO)
		on_hello(frame);
	else if (frame->type == BG_AGENT_PING && !fake.mute_ping)
		on_ping(frame);
	else if (frame->type == BG_AGENT_GAP && !fake.old_agent)
		on_gap(frame);
	else if (frame->type == BG_AGENT_EXEC)
		on_exec(frame);
	else if (frame->type == BG_AGENT_SHUTDOWN)
		on_shutdown();
}

static void on_client(void)
{
	uint8_t buf[4096];
	ssize_t len = read(fake.client, buf, sizeof(buf));
	const uint8_t *p = buf;
	size_t n = len > 0 ? (size_t)len : 0;
	struct bg_agent_frame frame;

	if (len <= 0) {
		fake.client = bg_close(fake.client);
		return;
	}
	while (fake.client >= 0 && bg_agent_next(&fake.reader, &p, &n, &frame) > 0)
		on_frame(&frame);
}

static void on_listener(void)
{
	int fd = accept4(fake.listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	bg_close(fake.client);
	fake.client = fd;
	fake.open = false;
	bg_agent_reader_init(&fake.reader, BG_AGENT_END_GUEST);
}

static void on_ready(void)
{
	fake.ready_ms = NEVER;
	fake.flags = BG_AGENT_F_ROOT | BG_AGENT_F_NET;
	if (fake.setup_ms != NEVER)
		fake.flags |= BG_AGENT_F_SETUP;
	else if (!fake.never_ready)
		fake.flags |= fake.no_sshd ? BG_AGENT_F_NO_SSHD : BG_AGENT_F_SSHD;
	if (fake.no_manager)
		fake.flags |= BG_AGENT_F_NO_MANAGER;
	if (fake.disk_repaired)
		fake.flags |= BG_AGENT_F_COW_REPAIRED;
	if (fake.open)
		send_status();
}

/* The package manager is through. */
static void on_setup_end(void)
{
	fake.setup_ms = NEVER;
	fake.flags |= BG_AGENT_F_SETUP_END | (fake.no_sshd ? BG_AGENT_F_NO_SSHD : BG_AGENT_F_SSHD);
	if (fake.open)
		send_status();
}

/* Does what is due; returns how long to wait for the next. */
static int run_timers(void)
{
	const struct {
		int64_t *at;
		void (*fn)(void);
	} timers[] = {{&fake.ready_ms, on_ready}, {&fake.setup_ms, on_setup_end},
		{&fake.reboot_ms, on_reboot}};
	int64_t age = now_ms() - fake.started, wait = -1;

	if (fake.die_ms != NEVER && age >= fake.die_ms)
		exit(1);
	for (size_t i = 0; i < ARRAY_SIZE(timers); i++)
		if (*timers[i].at != NEVER && age >= *timers[i].at)
			timers[i].fn();
	for (size_t i = 0; i < ARRAY_SIZE(timers); i++)
		if (*timers[i].at != NEVER)
			wait = wait < 0 ? *timers[i].at - age : BG_MIN(wait, *timers[i].at - age);
	if (fake.die_ms != NEVER)
		wait = wait < 0 ? fake.die_ms - age : BG_MIN(wait, fake.die_ms - age);
	return (int)(wait < 0 ? LOOK_MS : BG_MIN(wait, (int64_t)LOOK_MS));
}

/* Its run directory is gone: the test that started it is over, however it ended. */
static bool is_left_behind(const char *socket_path)
{
	_free_ char *dir = strndup(socket_path, (size_t)(strrchr(socket_path, '/') - socket_path));

	return dir && access(dir, F_OK) < 0;
}

static int listen_at(const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || strlen(path) >= sizeof(sa.sun_path))
		return -1;
	strcpy(sa.sun_path, path);
	if (bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, 4) < 0)
		return bg_close(fd);
	return fd;
}

static bool parse_id(const char *tag)
{
	const char *hex = strchr(tag, '-');

	for (size_t i = 0; i < sizeof(fake.id); i++) {
		unsigned byte;

		if (!hex || sscanf(hex + 1 + 2 * i, "%2x", &byte) != 1)
			return false;
		fake.id[i] = (uint8_t)byte;
	}
	return true;
}

static int append_serial(const char *text)
{
	_close_ int fd = open(fake.serial_log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	return fd < 0 ? -errno : bg_write_all(fd, text, strlen(text));
}

static int count_starts(void)
{
	uint64_t n = 0;
	char line[64];

	if (pread(3, &n, sizeof(n), 0) != (ssize_t)sizeof(n))
		return 0; /* a test that has no memory for it */
	snprintf(line, sizeof(line), "fake-vmm: start %llu of this memory\n",
		(unsigned long long)++n);
	if (pwrite(3, &n, sizeof(n), 0) != (ssize_t)sizeof(n))
		return -errno;
	return append_serial(line);
}

static void on_guest_end(int signo)
{
	if (signo == SIGUSR2)
		(void)append_serial("[   12.3] reboot: System halted\n");
	else if (append_serial("[   12.3] reboot: Restarting system\n") == 0)
		_exit(0);
}

static void on_clock(int signo)
{
	if (signo == SIGCONT)
		fake.gaps++;
	else
		fake.hours++;
}

int main(int argc, char **argv)
{
	fake.serial_log = argc == 6 ? argv[5] : "";
	if (argc != 6 || !parse_id(argv[2]) || !strchr(argv[4], '/') ||
		append_serial("fake-vmm: booting\n") < 0 || count_starts() < 0) {
		fprintf(stderr, "usage: fake-vmm -name banger-ID NAME AGENT_SOCKET SERIAL_LOG\n");
		return 2;
	}
	fake.name = argv[3];
	fake.client = fake.listener = -1;
	fake.started = now_ms();
	read_behaviour();
	signal(SIGUSR1, on_guest_end);
	signal(SIGUSR2, on_guest_end);
	signal(SIGCONT, on_clock);
	signal(SIGHUP, on_clock);
	if (fake.ignore_term)
		signal(SIGTERM, SIG_IGN);
	if (!fake.no_socket && (fake.listener = listen_at(argv[4])) < 0) {
		perror("fake-vmm: listen");
		return 1;
	}
	for (;;) {
		int wait = run_timers();
		struct pollfd fds[] = {{.fd = fake.listener, .events = POLLIN},
			{.fd = fake.client, .events = POLLIN}};

		if (poll(fds, ARRAY_SIZE(fds), wait) < 0 && errno != EINTR)
			return 1;
		if (is_left_behind(argv[4]))
			return 0;
		if (fds[1].revents)
			on_client();
		if (fds[0].revents)
			on_listener();
	}
}
