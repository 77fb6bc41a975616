/* SPDX-License-Identifier: ISC */
/* See gap.h. */
#include "guest/gap.h"

#include <assert.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/random.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "guest/log.h"

/*
 * A clock that is behind by less is left alone. One that is ahead may only seem so, by the time that the message took: it is left
 * alone up to this, and beyond only set when the host, which knows how long that was, asks for it.
 */
enum { NEARLY_RIGHT_USEC = 10 * 1000, AHEAD_USEC = 50 * 1000 };

/* The bytes count as entropy (they are the host kernel's), and the generator takes them up now, not at its next turn. */
static int reseed(const struct bg_agent_gap *gap)
{
	struct {
		int entropy_count, buf_size; /* struct rand_pool_info, whose bytes have no length */
		uint8_t bytes[BG_AGENT_GAP_BYTES];
	} pool = {.entropy_count = 8 * BG_AGENT_GAP_BYTES, .buf_size = BG_AGENT_GAP_BYTES};
	_close_ int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
	int r = 0;

	if (fd < 0)
		return -errno;
	static_assert(offsetof(struct rand_pool_info, buf) == 2 * sizeof(int), "linux/random.h");
	memcpy(pool.bytes, gap->random, sizeof(pool.bytes));
	if (ioctl(fd, RNDADDENTROPY, &pool) < 0 || ioctl(fd, RNDRESEEDCRNG) < 0)
		r = -errno;
	explicit_bzero(&pool, sizeof(pool));
	return r;
}

int64_t gap_step(int64_t now_usec, int64_t right_usec, uint32_t parts)
{
	int64_t step;

	if (right_usec < 0 || __builtin_sub_overflow(right_usec, now_usec, &step))
		return 0;
	if (step > NEARLY_RIGHT_USEC || (step < -AHEAD_USEC && (parts & BG_AGENT_GAP_BACK)))
		return step;
	return 0;
}

static int set_clock(const struct bg_agent_gap *gap, int64_t *step)
{
	const struct timespec ts = {.tv_sec = (time_t)(gap->time_usec / 1000000),
		.tv_nsec = (long)(gap->time_usec % 1000000) * 1000};

	*step = gap_step((int64_t)bg_now_usec(CLOCK_REALTIME), gap->time_usec, gap->parts);
	if (*step == 0 || clock_settime(CLOCK_REALTIME, &ts) == 0)
		return 0;
	*step = 0;
	return -errno;
}

void gap_arp(const uint8_t mac[ETH_ALEN], in_addr_t address, struct ether_arp *ret)
{
	*ret = (struct ether_arp){.ea_hdr = {.ar_hrd = htons(ARPHRD_ETHER),
					  .ar_pro = htons(ETH_P_IP),
					  .ar_hln = ETH_ALEN,
					  .ar_pln = sizeof(address),
					  .ar_op = htons(ARPOP_REQUEST)}};
	memcpy(ret->arp_sha, mac, ETH_ALEN);
	memcpy(ret->arp_spa, &address, sizeof(address));
	memcpy(ret->arp_tpa, &address, sizeof(address));
}

static int eth0_get(int s, unsigned long what, struct ifreq *ifr)
{
	*ifr = (struct ifreq){.ifr_name = "eth0"};
	return ioctl(s, what, ifr) < 0 ? -errno : 0;
}

/* Whoever asks the guest's kernel for its own address gets the one of now, also after a change by the image. */
static int announce(void)
{
	_close_ int s = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	_close_ int in = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_ll to = {.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ARP),
		.sll_halen = ETH_ALEN,
		.sll_addr = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
	struct ifreq index, mac, address;
	struct sockaddr_in own;
	struct ether_arp arp;
	int r;

	if (s < 0 || in < 0)
		return -errno;
	r = eth0_get(in, SIOCGIFINDEX, &index);
	if (r == 0)
		r = eth0_get(in, SIOCGIFHWADDR, &mac);
	if (r == 0)
		r = eth0_get(in, SIOCGIFADDR, &address);
	if (r < 0)
		return r;
	to.sll_ifindex = index.ifr_ifindex;
	memcpy(&own, &address.ifr_addr, sizeof(own));
	gap_arp((const uint8_t *)mac.ifr_hwaddr.sa_data, own.sin_addr.s_addr, &arp);
	if (sendto(s, &arp, sizeof(arp), MSG_DONTWAIT, (const struct sockaddr *)&to, sizeof(to)) <
		0)
		return -errno;
	return 0;
}

static void note(
	struct bg_agent_gap_done *done, enum bg_agent_gap_part part, const char *name, int r)
{
	if (r == 0)
		done->done |= part;
	else
		log_line("after the gap: %s: %s", name, strerror(-r));
}

void gap_put_right(const struct bg_agent_gap *gap, struct bg_agent_gap_done *done)
{
	int64_t step = 0;

	if (gap->parts & BG_AGENT_GAP_RANDOM)
		note(done, BG_AGENT_GAP_RANDOM, "randomness", reseed(gap));
	if (gap->parts & BG_AGENT_GAP_CLOCK)
		note(done, BG_AGENT_GAP_CLOCK, "clock", set_clock(gap, &step));
	done->step_usec = step;
	if (gap->parts & BG_AGENT_GAP_NET)
		note(done, BG_AGENT_GAP_NET, "network", announce());
}
