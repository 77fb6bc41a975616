/* SPDX-License-Identifier: ISC */
/*
 * conf.h: vm.conf as banger-init sees it (the format: common/guest_conf.h). Pure:
 * text in, checked values out. Called once by init.c; fuzzed.
 */
#ifndef BG_GUEST_CONF_H
#define BG_GUEST_CONF_H

#include <netinet/in.h>

#include "common/err.h"
#include "common/limits.h"
#include "guest/setup.h"

enum conf_agent { CONF_AGENT_NONE, CONF_AGENT_VIRTIO, CONF_AGENT_VSOCK };

enum { CONF_DEV_MAX = 31 };

struct conf {
	char id_text[BG_ID_LEN + 1]; /* lower case hex */
	uint8_t id[BG_ID_LEN / 2];
	char hostname[BG_NAME_MAX + 1];
	char root[CONF_DEV_MAX + 1]; /* names below /dev; "" when not given */
	char base[CONF_DEV_MAX + 1]; /* not "": root is "", and these four are given */
	char own[CONF_DEV_MAX + 1];
	uint64_t store; /* sectors, whole chunks */
	unsigned chunk; /* sectors */
	char work[CONF_DEV_MAX + 1];
	char modules[CONF_DEV_MAX + 1];
	struct in_addr addr, gateway, dns; /* 0 when not given */
	enum conf_agent agent;
	bool reset; /* poweroff=reset: only a reset ends this VMM */
	enum setup_wish setup;
	int64_t time; /* seconds since the epoch, 0 when not given */
};

/*
 * Reads the whole text. -EINVAL names the line or the key that is wrong or missing;
 * unknown keys are ignored, a key given twice is wrong.
 */
int conf_parse(const char *text, size_t len, struct conf *ret, struct bg_err **err);

/* hostname and addr alone, the rest as nothing was given; addr may be NULL. False: not such words. */
bool conf_names(struct conf *ret, const char *hostname, const char *addr);

#endif
