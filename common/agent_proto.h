/* SPDX-License-Identifier: ISC */
/*
 * agent_proto.h: the whole protocol between bangerd and the agent in the guest.
 *
 * Carrier: one reliable byte stream per VM. Under QEMU it is the virtio-serial
 * port named BG_AGENT_PORT, which is one stream for the guest's whole life;
 * under Firecracker it is a vsock connection to port BG_AGENT_VSOCK_PORT.
 * Everything is little-endian, fixed width.
 *
 * A frame is struct bg_agent_head followed by head.len bytes of payload.
 *
 * Opening. The host sends BG_AGENT_HELLO whose payload is 16 random bytes. The
 * guest drops all state of an earlier conversation (its streams end as if their
 * host had gone), and answers BG_AGENT_WELCOME that starts with the same 16 bytes.
 * Each side skips bytes until it has found the frame that opens the
 * conversation: what an earlier bangerd left half-sent in a virtio-serial port
 * is passed over that way. After the opening a malformed frame ends the
 * conversation: the guest then waits for the next HELLO, the host reconnects.
 * A guest that reboots announces itself with BG_AGENT_BOOT; the host answers
 * with a new HELLO.
 *
 * Streams. Requests that have a body of data (exec, copy) run in a stream whose
 * number the host chooses (1 and up; 0 is the conversation itself). Every stream
 * starts with a window of BG_AGENT_WINDOW bytes for each sub-stream, for BG_AGENT_DATA
 * payload only; the reader gives more with BG_AGENT_CREDIT. A frame for a stream
 * the receiver does not have is ignored.
 *
 * Life of a stream. BG_AGENT_EXEC opens it. The host sends sub-stream 0 (standard input), the
 * guest 1 and 2; BG_AGENT_EOF ends one from the writer's side, and from the reader's side
 * (host, 1 or 2) says that nobody reads it any more. BG_AGENT_DONE is the guest's last frame of a stream:
 * the command has ended and what it wrote was sent. BG_AGENT_CANCEL is the host's last one: the
 * guest ends what it started and answers nothing.
 *
 * Gaps. A guest that stood still (resume, fork, sleep of the host) knows nothing of it: the host sends BG_AGENT_GAP
 * as soon as it runs again, before any stream, and the guest puts right what it wants, in the order of enum
 * bg_agent_gap_part, before it takes the next frame. A PING with sub BG_AGENT_PING_TIME asks for the guest's clocks too.
 *
 * Additions. BG_AGENT_VERSION stays as long as each side gets on with the other's older builds: a guest says in
 * WELCOME what it can do beyond the first protocol (enum bg_agent_can), and the host sends nothing else;
 * an agent that knows no BG_AGENT_PING_TIME answers with the plain 8 bytes.
 */
#ifndef BG_COMMON_AGENT_PROTO_H
#define BG_COMMON_AGENT_PROTO_H

#include <stdint.h>

#define BG_AGENT_MAGIC	     0x31414742u /* "BGA1" */
#define BG_AGENT_VERSION     1
#define BG_AGENT_PORT	     "banger.agent"
#define BG_AGENT_VSOCK_PORT  1024
#define BG_AGENT_NONCE	     16
#define BG_AGENT_PAYLOAD_MAX (64 * 1024)
#define BG_AGENT_WINDOW	     (256 * 1024)
/* bytes of one command and its environment: execve(2) takes less */
#define BG_AGENT_WORDS_MAX (4 * 1024 * 1024)

enum bg_agent_type {
	/* conversation, stream 0 */
	BG_AGENT_HELLO = 1,   /* host: nonce */
	BG_AGENT_WELCOME = 2, /* guest: struct bg_agent_welcome */
	BG_AGENT_BOOT = 3,    /* guest: no payload; sent once when the agent starts */
	BG_AGENT_STATUS = 4,  /* guest: struct bg_agent_status; after WELCOME and at every change */
	BG_AGENT_PING = 5,    /* host: 8 bytes of its choice; sub: 0 or BG_AGENT_PING_TIME */
	BG_AGENT_PONG = 6,    /* guest: the same 8 bytes, or struct bg_agent_pong */
	/* host: 1 byte, enum bg_agent_shutdown; the guest answers DONE then goes down */
	BG_AGENT_SHUTDOWN = 7,
	BG_AGENT_DONE = 8,	/* guest, also in streams: struct bg_agent_done */
	BG_AGENT_GAP = 9,	/* host, to a guest that can: struct bg_agent_gap */
	BG_AGENT_GAP_DONE = 10, /* guest: struct bg_agent_gap_done */
	/* streams */
	/* both: bytes; the sub-stream is head.sub (0 stdin/body, 1 stdout, 2 stderr) */
	BG_AGENT_DATA = 16,
	BG_AGENT_EOF = 17,    /* both: end of head.sub */
	BG_AGENT_CREDIT = 18, /* both: u32 bytes more for head.sub */
	BG_AGENT_CANCEL = 19, /* host: end the request and what it started */
	BG_AGENT_EXEC = 20,   /* host: struct bg_agent_exec and its strings; opens the stream */
	BG_AGENT_RESIZE = 21, /* host: struct bg_agent_resize, of a stream with a terminal */
	/* host: u32 signal number, for the command's process group; guest: the same, it was
	 * delivered */
	BG_AGENT_SIGNAL = 22,
	/* host, after an EXEC with BG_AGENT_X_WORDS: bytes of enum bg_agent_words; none: that
	 * is all */
	BG_AGENT_WORDS = 23,
};

/* The sub of a PING: the answer is to carry the guest's clocks. */
#define BG_AGENT_PING_TIME 1

/* Sub-streams. */
enum { BG_AGENT_IN = 0, BG_AGENT_OUT = 1, BG_AGENT_ERR = 2, BG_AGENT_SUBS = 3 };

/* What runs: the command, or a part of the agent itself in a process of its own. */
enum bg_agent_kind {
	BG_AGENT_K_RUN = 0, /* argv; none: the user's login shell */
	/* argv in threes: block device ("vda"), where it is mounted, bytes it has now or soon */
	BG_AGENT_K_GROW = 1,
	BG_AGENT_K_PACK = 2,	    /* argv[0]: a tree, as tar on its output */
	BG_AGENT_K_UNPACK = 3,	    /* argv[0]: where the tar on its input goes to */
	BG_AGENT_K_UNPACK_INTO = 4, /* the same, into a folder that is there */
	/* argv[0]: a TCP port of the guest's loopback, joined with its streams */
	BG_AGENT_K_CONNECT = 5,
	/* a line for each listening socket: protocol, address, port, pid, name */
	BG_AGENT_K_PORTS = 6,
	BG_AGENT_K_STATS = 7, /* lines of a name and a number */
	/* argv: a verb and its words (guest/workspace.h), for a checkout's copy */
	BG_AGENT_K_WORKSPACE = 8,
	/* argv: the name that the guest has from now on, its address (may be missing) */
	BG_AGENT_K_NAME = 9,
	/* argv: the ports that host.vm has from now on, in this conversation; no process */
	BG_AGENT_K_EXPOSE = 10,
	/* argv[0]: one of them; waits for a connection to it, says BG_AGENT_ACCEPTED on its
	 * stderr, joins it with its streams */
	BG_AGENT_K_ACCEPT = 11,
	BG_AGENT_K_MAX_
};

/* The first byte of a K_ACCEPT's stderr; what else comes there is why it cannot. */
#define BG_AGENT_ACCEPTED '+'

/* host.vm in a guest: of its own loopback, where its agent listens for the host's exposed ports. */
#define BG_AGENT_HOST_NAME    "host.vm"
#define BG_AGENT_HOST_ADDRESS "127.0.0.2"

enum {
	BG_AGENT_X_TTY = 1 << 0,
	/* its command and environment follow: they do not fit a frame, or are not UTF-8 */
	BG_AGENT_X_WORDS = 1 << 1,
};

/* The sub of a BG_AGENT_WORDS frame: which list its bytes belong to. Each string ends with NUL; a frame may end in the middle. */
enum bg_agent_words { BG_AGENT_W_ARGV = 0, BG_AGENT_W_ENV = 1, BG_AGENT_W_LISTS = 2 };

enum bg_agent_shutdown { BG_AGENT_POWEROFF = 0, BG_AGENT_REBOOT = 1 };

struct bg_agent_head {
	uint32_t magic;
	uint32_t len; /* of the payload, at most BG_AGENT_PAYLOAD_MAX */
	uint32_t stream;
	uint16_t type; /* enum bg_agent_type */
	uint16_t sub;
} __attribute__((packed));

struct bg_agent_welcome {
	uint8_t nonce[BG_AGENT_NONCE];
	uint32_t version;  /* BG_AGENT_VERSION */
	uint32_t can;	   /* enum bg_agent_can; 0 from builds before there was any */
	uint8_t vm_id[16]; /* from the settings: the host checks that it talks to the right guest */
} __attribute__((packed));

enum bg_agent_can {
	BG_AGENT_CAN_GAP = 1 << 0, /* BG_AGENT_GAP */
};

struct bg_agent_pong {
	uint8_t ping[8];
	int64_t time_usec; /* the guest's wall clock */
	uint64_t up_usec;  /* its CLOCK_BOOTTIME, which nobody in it can set */
} __attribute__((packed));

/* What is put right after a gap, in this order. */
enum bg_agent_gap_part {
	/* the kernel's randomness: the 64 bytes are mixed in, then it is reseeded */
	BG_AGENT_GAP_RANDOM = 1 << 0,
	BG_AGENT_GAP_CLOCK = 1 << 1, /* the wall clock, when it is behind */
	BG_AGENT_GAP_BACK = 1 << 2,  /* with CLOCK: also when it is ahead */
	BG_AGENT_GAP_NET = 1 << 3,   /* eth0's address is announced by ARP */
	BG_AGENT_GAP_ALL = (1 << 4) - 1,
};

#define BG_AGENT_GAP_BYTES 64

struct bg_agent_gap {
	uint64_t number; /* of the host's choice */
	uint32_t parts;	 /* enum bg_agent_gap_part; others are passed over */
	uint32_t reserved;
	int64_t time_usec; /* the host's wall clock at the sending */
	uint8_t random[BG_AGENT_GAP_BYTES];
} __attribute__((packed));

struct bg_agent_gap_done {
	uint64_t number;
	uint32_t done; /* the parts that are right now */
	uint32_t reserved;
	int64_t step_usec; /* how far the clock was set forward; negative: back; 0: it was right */
	int64_t time_usec; /* the guest's wall clock now */
} __attribute__((packed));

/* What the guest has come to. Bits are only ever added during one boot. */
enum bg_agent_flag {
	BG_AGENT_F_ROOT = 1 << 0,    /* root file system mounted, the image's init (or ours) runs */
	BG_AGENT_F_NET = 1 << 1,     /* eth0 is up with its address */
	BG_AGENT_F_SSHD = 1 << 2,    /* something listens on TCP port 22 */
	BG_AGENT_F_NO_SSHD = 1 << 3, /* the image has no ssh server: do not wait for one */
	BG_AGENT_F_SETUP = 1 << 4,   /* the image's package manager brings one, or an init */
	BG_AGENT_F_SETUP_END = 1 << 5,	/* it is through, well or not */
	BG_AGENT_F_NO_MANAGER = 1 << 6, /* it should, but the image has none that we know */
	/* the VM's own disk could not be written at some time: what was not synced is lost */
	BG_AGENT_F_COW_REPAIRED = 1 << 7,
	BG_AGENT_F_FS_ERROR = 1 << 8, /* ext4 has recorded an error on / or /root */
	BG_AGENT_F_ALL = (1 << 9) - 1,
};

struct bg_agent_status {
	uint32_t flags;	    /* enum bg_agent_flag */
	uint32_t uptime_ms; /* since the guest's kernel started */
} __attribute__((packed));

struct bg_agent_done {
	int32_t error;	/* 0 or a positive Linux errno of the request itself */
	int32_t status; /* exec: wait status as from waitpid */
} __attribute__((packed));

/* Followed by NUL-terminated strings: user, workdir (both may be empty), argc words, envc of "NAME=value". */
struct bg_agent_exec {
	uint16_t kind;	     /* enum bg_agent_kind */
	uint16_t flags;	     /* BG_AGENT_X_* */
	uint16_t rows, cols; /* of the terminal; 0 when there is none */
	uint32_t timeout_ms; /* 0: none */
	uint16_t argc, envc;
} __attribute__((packed));

struct bg_agent_resize {
	uint16_t rows, cols;
} __attribute__((packed));

_Static_assert(sizeof(struct bg_agent_exec) == 16, "wire format");
_Static_assert(sizeof(struct bg_agent_resize) == 4, "wire format");
_Static_assert(sizeof(struct bg_agent_head) == 16, "wire format");
_Static_assert(sizeof(struct bg_agent_welcome) == 40, "wire format");
_Static_assert(sizeof(struct bg_agent_status) == 8, "wire format");
_Static_assert(sizeof(struct bg_agent_done) == 8, "wire format");
_Static_assert(sizeof(struct bg_agent_pong) == 24, "wire format");
_Static_assert(sizeof(struct bg_agent_gap) == 88, "wire format");
_Static_assert(sizeof(struct bg_agent_gap_done) == 32, "wire format");

#endif
