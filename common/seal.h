/* SPDX-License-Identifier: ISC */
/*
 * seal.h: rows of a seccomp filter {call, rule, reason} and how they become one. Used by the
 * sandboxes of bangerd and banger-worker, which own their tables and what happens to other calls.
 */
#ifndef BG_COMMON_SEAL_H
#define BG_COMMON_SEAL_H

#include <seccomp.h>

#include "common/base.h"

/* Sanitizers map terabytes, read /proc and ptrace: under them only what they survive is sealed. */
#if defined(__SANITIZE_ADDRESS__)
#define BG_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define BG_SANITIZED 1
#endif
#endif
#ifndef BG_SANITIZED
#define BG_SANITIZED 0
#endif

enum seal_match {
	SEAL_ALWAYS,
	SEAL_IS,    /* the argument is value */
	SEAL_IS_32, /* its low half is: what the kernel looks at where it takes an int. For refusals
		     */
	SEAL_NOT,   /* it is anything else */
	SEAL_HAS,   /* all bits of value are in it */
	SEAL_LACKS, /* none of them is */
	SEAL_BELOW, /* it is less than value */
	SEAL_IOCTL, /* an ioctl's type byte is value */
};

#define SEAL_ALLOW (-1)

struct seal_rule {
	int syscall;
	int errnum; /* what the caller gets instead of the call, or SEAL_ALLOW */
	enum seal_match match;
	unsigned arg;
	uint64_t value;
	const char *reason;
	/* A second condition: both must hold. Left out, it is SEAL_ALWAYS. */
	enum seal_match also;
	unsigned also_arg;
	uint64_t also_value;
};

/* The row of a call that may be made whatever its arguments are. */
#define SEAL_CALL(name, reason)                                                                    \
	{                                                                                          \
		SCMP_SYS(name), SEAL_ALLOW, SEAL_ALWAYS, 0, 0, reason                              \
	}

/*
 * The filter that these rows make over what happens to other calls (an SCMP_ACT_*); a program of
 * another architecture is refused with ENOSYS. NULL when libseccomp says no.
 */
scmp_filter_ctx seal_new(uint32_t others, const struct seal_rule *rules, size_t n);
/* 0 or -errno. */
int seal_add(scmp_filter_ctx ctx, const struct seal_rule *rules, size_t n);

#endif
