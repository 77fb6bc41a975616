/* SPDX-License-Identifier: ISC */
/* See guest.h. The conversation: carrier, opening, status. Requests in it: guest_call.c; streams:
 * guest_stream.c. */
#include <assert.h>
#include <endian.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/limits.h"
#include "common/log.h"
#include "daemon/driver/guest_impl.h"

/*
 * Waits before the next try are a share of the time already waited, so that a guest that is up in
 * 300 ms is met within 20, and one that never comes costs one try a second.
 */
enum {
	RETRY_SHARE = 16,
	RETRY_MIN_USEC = 5 * 1000,
	RETRY_MAX_USEC = 1000 * 1000,
	/* A conversation that another one's guest or version answered: nothing changes soon. */
	RETRY_WRONG_USEC = 10 * 1000 * 1000,
	/* A carrier that takes a HELLO and stays silent is dropped and connected anew, with what is
	   stuck in it. */
	OPENING_MIN_USEC = 5 * 1000 * 1000,
	OPENING_MAX_USEC = 40 * 1000 * 1000,
	/* A boot opens twice, a restart of the agent once; a guest that does nothing else is made
	   to wait, since each opening is news for all who watch the VM. */
	OPENINGS_MAX = 8,
	OPENING_EARNED_USEC = 1000 * 1000,
	READ_SIZE = 64 * 1024,
	READS_PER_TURN = 8,
	OUT_MAX = 1024 * 1024,
	VSOCK_LINE_MAX = 64,
};

static void connect_later(struct guest *guest, uint64_t usec);

/* Callbacks may free the guest: it then stays until the outermost one is back. */
void guest_enter(struct guest *guest)
{
	guest->depth++;
}

bool guest_leave(struct guest *guest)
{
	bool dead = guest->dead;

	assert(guest->depth > 0);
	if (--guest->depth == 0 && dead)
		guest_destroy(guest);
	return !dead;
}

static void tell(struct guest *guest, bool connected, uint32_t uptime_ms)
{
	guest->status(guest, connected, guest->flags, uptime_ms, guest->userdata);
}

static void drop_carrier(struct guest *guest)
{
	loop_source_free(guest->io);
	loop_source_free(guest->timer);
	guest->io = guest->timer = NULL;
	guest->fd = bg_close(guest->fd);
	guest->out_len = guest->out_at = 0;
	guest->line_len = 0;
}

/* The conversation is over: tells the owner and those who wait for answers, and tries again. */
static void broken(struct guest *guest, const char *why, uint64_t retry_usec)
{
	bool was_open = guest->state == GUEST_OPEN;

	drop_carrier(guest);
	guest->state = GUEST_WAITING;
	guest->flags = 0;
	if (was_open) {
		guest->down_usec = loop_now_usec();
		guest_calls_broken(guest, why);
		guest_streams_broken(guest, why);
		if (!guest->dead)
			tell(guest, false, 0);
	}
	if (!guest->dead)
		connect_later(guest, retry_usec);
}

static uint64_t next_retry(const struct guest *guest)
{
	uint64_t share = (loop_now_usec() - guest->down_usec) / RETRY_SHARE;

	return BG_MIN(BG_MAX(share, (uint64_t)RETRY_MIN_USEC), (uint64_t)RETRY_MAX_USEC);
}

static void broken_retry(struct guest *guest, const char *why)
{
	broken(guest, why, next_retry(guest));
}

static int watch_io(struct guest *guest, unsigned events)
{
	if (events == guest->io_events)
		return 0;
	guest->io_events = events;
	return loop_source_set_events(guest->io, events);
}

static int flush_out(struct guest *guest)
{
	ssize_t n;

	if (guest->out_len == 0)
		return watch_io(guest, LOOP_READ);
	n = send(
		guest->fd, guest->out + guest->out_at, guest->out_len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return -errno;
	if (n > 0) {
		guest->out_at += (size_t)n;
		guest->out_len -= (size_t)n;
	}
	return watch_io(guest, guest->out_len > 0 ? LOOP_READ | LOOP_WRITE : LOOP_READ);
}

/* Room for len bytes after what is queued: moved to the front, or in a larger buffer. */
static int make_room(struct guest *guest, size_t len)
{
	size_t size = BG_MAX(guest->out_size * 2, guest->out_len + len);
	uint8_t *p;

	if (guest->out_len == 0)
		guest->out_at = 0;
	if (guest->out_at + guest->out_len + len <= guest->out_size)
		return 0;
	if (guest->out_at > 0) {
		memmove(guest->out, guest->out + guest->out_at, guest->out_len);
		guest->out_at = 0;
	}
	if (guest->out_len + len <= guest->out_size)
		return 0;
	p = realloc(guest->out, size);
	if (!p)
		return -ENOMEM;
	guest->out = p;
	guest->out_size = size;
	return 0;
}

static int queue_bytes(struct guest *guest, const void *bytes, size_t len)
{
	int r;

	if (guest->out_len + len > OUT_MAX)
		return -ENOBUFS;
	r = make_room(guest, len);
	if (r < 0)
		return r;
	if (len > 0)
		memcpy(guest->out + guest->out_at + guest->out_len, bytes, len);
	guest->out_len += len;
	return 0;
}

int guest_send_stream(struct guest *guest, enum bg_agent_type type, uint32_t stream, uint16_t sub,
	const void *payload, size_t len)
{
	struct bg_agent_head head;
	int r;

	/* A frame goes whole or not at all. */
	if (guest->out_len + sizeof(head) + len > OUT_MAX)
		return -ENOBUFS;
	r = make_room(guest, sizeof(head) + len);
	if (r < 0)
		return r;
	bg_agent_head_init(&head, type, stream, sub, len);
	(void)queue_bytes(guest, &head, sizeof(head));
	(void)queue_bytes(guest, payload, len);
	return flush_out(guest);
}

int guest_send(struct guest *guest, enum bg_agent_type type, const void *payload, size_t len)
{
	return guest_send_stream(guest, type, 0, 0, payload, len);
}

static void on_opening_late(void *userdata)
{
	struct guest *guest = userdata;

	guest_enter(guest);
	guest->opening_usec = BG_MIN(guest->opening_usec * 2, (uint64_t)OPENING_MAX_USEC);
	broken(guest, "the guest did not answer", RETRY_MIN_USEC);
	guest_leave(guest);
}

/* A new nonce each time: an answer to an earlier one is passed over. */
static int send_hello(struct guest *guest)
{
	uint8_t nonce[BG_AGENT_NONCE];
	int r;

	if (getrandom(nonce, sizeof(nonce), GRND_NONBLOCK) != (ssize_t)sizeof(nonce))
		return -EIO;
	bg_agent_reader_expect(&guest->reader, nonce);
	guest->state = GUEST_OPENING;
	loop_source_free(guest->timer);
	guest->timer = NULL;
	r = loop_add_timer(guest->loop, "guest opening", guest->opening_usec, on_opening_late,
		guest, &guest->timer);
	return r < 0 ? r : guest_send(guest, BG_AGENT_HELLO, nonce, sizeof(nonce));
}

static bool id_matches(const struct guest *guest, const uint8_t id[16])
{
	char hex[BG_ID_LEN + 1];

	for (size_t i = 0; i < 16; i++)
		snprintf(hex + 2 * i, 3, "%02x", id[i]);
	return bg_streq(hex, guest->vm_id);
}

static void wrong_guest(struct guest *guest, const char *what)
{
	if (!guest->wrong_logged)
		log_msg(LOG_ERROR, "guest", what, "vm_id", guest->vm_id, "socket", guest->path,
			NULL);
	guest->wrong_logged = true;
	broken(guest, what, RETRY_WRONG_USEC);
}

static void on_welcome(struct guest *guest, const struct bg_agent_frame *frame)
{
	struct bg_agent_welcome welcome;

	memcpy(&welcome, frame->payload, sizeof(welcome));
	if (le32toh(welcome.version) != BG_AGENT_VERSION) {
		wrong_guest(guest, "the agent in the guest speaks another version of the protocol");
		return;
	}
	if (!id_matches(guest, welcome.vm_id)) {
		wrong_guest(guest, "another VM's guest answered");
		return;
	}
	if (!bg_rate_take(&guest->openings, loop_now_usec())) {
		broken(guest, "the guest begins too often", RETRY_MAX_USEC);
		return;
	}
	loop_source_free(guest->timer);
	guest->timer = NULL;
	guest->state = GUEST_OPEN;
	guest->opening_usec = OPENING_MIN_USEC;
	guest->wrong_logged = false;
	guest->flags = 0;
	guest->can = le32toh(welcome.can);
	guest_calls_open(guest);
	if (!guest->dead)
		tell(guest, true, 0);
}

/* The guest (re)booted: what was said before is void. */
static void on_boot(struct guest *guest)
{
	bool was_open = guest->state == GUEST_OPEN;

	guest->flags = 0;
	if (was_open) {
		guest->state = GUEST_OPENING;
		guest_calls_broken(guest, "the guest rebooted");
		guest_streams_broken(guest, "the guest rebooted");
		if (!guest->dead)
			tell(guest, false, 0);
	}
	if (!guest->dead && send_hello(guest) < 0)
		broken_retry(guest, "cannot greet the guest");
}

/* What came true in a conversation stays so until it ends: so a guest has a handful of news, not a
 * flood. */
static void on_status(struct guest *guest, const struct bg_agent_frame *frame)
{
	struct bg_agent_status status;
	uint32_t flags;

	memcpy(&status, frame->payload, sizeof(status));
	flags = guest->flags | (le32toh(status.flags) & BG_AGENT_F_ALL);
	if (flags == guest->flags)
		return;
	guest->flags = flags;
	tell(guest, true, le32toh(status.uptime_ms));
}

static void on_frame(struct guest *guest, const struct bg_agent_frame *frame)
{
	guest->heard_usec = loop_now_usec();
	if (frame->type == BG_AGENT_BOOT) {
		on_boot(guest);
		return;
	}
	/* The opening's frames only; a second WELCOME answers a HELLO that was overtaken by BOOT.
	 */
	if (guest->state == GUEST_OPENING) {
		if (frame->type == BG_AGENT_WELCOME)
			on_welcome(guest, frame);
		return;
	}
	if (frame->stream != 0) {
		guest_streams_frame(guest, frame);
		return;
	}
	if (frame->type == BG_AGENT_STATUS)
		on_status(guest, frame);
	else if (frame->type == BG_AGENT_PONG || frame->type == BG_AGENT_DONE ||
		 frame->type == BG_AGENT_GAP_DONE)
		guest_calls_answer(guest, frame);
}

/* False when this carrier is gone, or the guest itself. */
static bool feed(struct guest *guest, const uint8_t *p, size_t n)
{
	struct bg_agent_frame frame;
	int fd = guest->fd;
	int r;

	while ((r = bg_agent_next(&guest->reader, &p, &n, &frame)) > 0) {
		on_frame(guest, &frame);
		if (guest->dead || guest->fd != fd || guest->state == GUEST_WAITING)
			return false;
	}
	if (r == 0)
		return true;
	broken_retry(guest, "the guest broke the protocol");
	return false;
}

/* Firecracker's answer to CONNECT: one line, "OK <port>". -EAGAIN until it is whole. */
static int take_vsock_line(struct guest *guest, const uint8_t **p, size_t *n)
{
	while (*n > 0) {
		char c = (char)**p;

		(*p)++;
		(*n)--;
		if (c == '\n') {
			guest->line[guest->line_len] = '\0';
			return strncmp(guest->line, "OK ", 3) == 0 ? 0 : -EPROTO;
		}
		if (guest->line_len + 1 >= sizeof(guest->line))
			return -EPROTO;
		guest->line[guest->line_len++] = c;
	}
	return -EAGAIN;
}

static bool take_bytes(struct guest *guest, const uint8_t *p, size_t n)
{
	int r;

	if (guest->state != GUEST_CARRIER)
		return feed(guest, p, n);
	r = take_vsock_line(guest, &p, &n);
	if (r == -EAGAIN)
		return true;
	if (r >= 0)
		r = send_hello(guest);
	if (r < 0) {
		broken_retry(guest, "the VMM refused the vsock connection");
		return false;
	}
	return n == 0 || feed(guest, p, n);
}

static void read_some(struct guest *guest)
{
	uint8_t buf[READ_SIZE];

	for (unsigned i = 0; i < READS_PER_TURN; i++) {
		ssize_t n = recv(guest->fd, buf, sizeof(buf), MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			broken_retry(guest, "the connection to the guest closed");
			return;
		}
		if (!take_bytes(guest, buf, (size_t)n) || (size_t)n < sizeof(buf))
			return; /* that was all there is */
	}
}

static void on_io(int fd, unsigned events, void *userdata)
{
	struct guest *guest = userdata;

	guest_enter(guest);
	if ((events & LOOP_WRITE) && flush_out(guest) < 0)
		broken_retry(guest, "the connection to the guest closed");
	else if (events & LOOP_READ)
		read_some(guest);
	if (!guest->dead && guest->state == GUEST_OPEN)
		guest_streams_room(guest);
	guest_leave(guest);
}

static int connect_socket(const char *path, int *ret)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	memcpy(sa.sun_path, path, strlen(path) + 1);
	if (connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	*ret = TAKE_FD(fd);
	return 0;
}

static int begin(struct guest *guest)
{
	char line[32];
	int r = loop_add_fd(guest->loop, "guest", guest->fd, LOOP_READ, on_io, guest, &guest->io);

	if (r < 0)
		return r;
	guest->io_events = LOOP_READ;
	if (!guest->vsock)
		return send_hello(guest);
	guest->state = GUEST_CARRIER;
	r = loop_add_timer(guest->loop, "guest opening", guest->opening_usec, on_opening_late,
		guest, &guest->timer);
	if (r < 0)
		return r;
	snprintf(line, sizeof(line), "CONNECT %d\n", BG_AGENT_VSOCK_PORT);
	r = queue_bytes(guest, line, strlen(line));
	return r < 0 ? r : flush_out(guest);
}

static void on_connect(void *userdata)
{
	struct guest *guest = userdata;
	int r;

	loop_source_free(guest->timer);
	guest->timer = NULL;
	guest_enter(guest);
	r = connect_socket(guest->path, &guest->fd);
	if (r >= 0)
		r = begin(guest);
	if (r < 0)
		broken_retry(guest, "cannot connect to the guest");
	guest_leave(guest);
}

static void connect_later(struct guest *guest, uint64_t usec)
{
	int r = loop_add_timer(
		guest->loop, "guest connect", usec, on_connect, guest, &guest->timer);

	/* Without a timer there is no next try: the VM's own boot and stop deadlines end its wait.
	 */
	if (r < 0)
		log_msg(LOG_ERROR, "guest", "out of memory", "vm_id", guest->vm_id, NULL);
}

int guest_open(struct loop *loop, const struct guest_target *target, guest_status_fn status,
	void *userdata, struct guest **ret, struct bg_err **err)
{
	_unref_(guest) struct guest *guest = NULL;

	assert(strlen(target->vm_id) == BG_ID_LEN);
	if (strlen(target->socket_path) > BG_SUN_PATH_MAX)
		return bg_err_set(err, BG_ERR_AGENT, ENAMETOOLONG,
			"socket path \"%s\" is longer than %d bytes", target->socket_path,
			BG_SUN_PATH_MAX);
	guest = malloc(sizeof(*guest));
	if (!guest)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	memset(guest, 0, offsetof(struct guest, reader));
	bg_agent_reader_init(&guest->reader, BG_AGENT_END_HOST);
	TAILQ_INIT(&guest->calls);
	TAILQ_INIT(&guest->streams);
	guest->loop = loop;
	guest->fd = -1;
	guest->vsock = bg_streq(target->carrier, "vsock");
	guest->status = status;
	guest->userdata = userdata;
	guest->down_usec = loop_now_usec();
	guest->opening_usec = OPENING_MIN_USEC;
	guest->openings = bg_rate_of(OPENINGS_MAX, OPENING_EARNED_USEC, loop_now_usec());
	strcpy(guest->path, target->socket_path);
	strcpy(guest->vm_id, target->vm_id);
	if (loop_defer(loop, "guest connect", on_connect, guest, &guest->timer) < 0)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	*ret = TAKE_PTR(guest);
	return 0;
}

void guest_destroy(struct guest *guest)
{
	drop_carrier(guest);
	free(guest->out);
	free(guest);
}

void guest_free(struct guest *guest)
{
	if (!guest || guest->dead)
		return;
	guest->dead = true;
	drop_carrier(guest);
	guest_calls_orphan(guest);
	guest_streams_broken(guest, "the VM went down");
	if (guest->depth == 0)
		guest_destroy(guest);
}

bool guest_connected(const struct guest *guest)
{
	return guest->state == GUEST_OPEN;
}

uint64_t guest_heard_usec(const struct guest *guest)
{
	return guest->heard_usec;
}

uint32_t guest_flags(const struct guest *guest)
{
	return guest->flags;
}

uint32_t guest_can(const struct guest *guest)
{
	return guest->state == GUEST_OPEN ? guest->can : 0;
}
