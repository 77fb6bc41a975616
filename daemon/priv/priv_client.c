/* SPDX-License-Identifier: ISC */
/*
 * priv_client.c: One pair of functions per verb: encode a request, decode its reply into plain
 * values.
 */
#include "daemon/priv/priv_client.h"

#include <stdio.h>

/* What each refusal is to the user. The text comes from the table; no hint: the code's own. */
static const struct {
	enum bg_err_code err;
	int errnum;
	const char *hint;
} codes[] = {
	[PRIV_CODE_OK] = {BG_ERR_INTERNAL, EINVAL, NULL},
	[PRIV_CODE_ENVIRONMENT] = {BG_ERR_HELPER_REFUSED, EPERM,
		"raise the hard limits that bangerd runs under (`ulimit -Ha`)"},
	[PRIV_CODE_IDENTITY] = {BG_ERR_HELPER_REFUSED, EPERM, "run banger as an ordinary user"},
	[PRIV_CODE_NOT_MEMBER] = {BG_ERR_HELPER_NOT_MEMBER, EPERM, NULL},
	[PRIV_CODE_NO_CAPABILITY] = {BG_ERR_HELPER_NO_CAP, EPERM, NULL},
	[PRIV_CODE_CONFIG] = {BG_ERR_HELPER_REFUSED, EINVAL,
		"let the administrator fix /etc/banger/privhelper.conf"},
	[PRIV_CODE_LEDGER] = {BG_ERR_HELPER_REFUSED, EIO,
		"install it again: `sudo scripts/install-helper`"},
	[PRIV_CODE_SANDBOX] = {BG_ERR_HELPER_REFUSED, EPERM,
		"install it again: `sudo scripts/install-helper`; nobody may be in group "
		"banger-ledger"},
	[PRIV_CODE_NO_TUN] = {BG_ERR_HELPER_REFUSED, ENODEV,
		"`sudo modprobe tun && sudo chmod 0666 /dev/net/tun`"},
	[PRIV_CODE_FAILED] = {BG_ERR_HELPER_FAILED, EIO, NULL},
	[PRIV_CODE_VERSION] = {BG_ERR_HELPER_REFUSED, EPROTO,
		"install the helper of this build: `sudo scripts/install-helper`"},
	[PRIV_CODE_BUSY] = {BG_ERR_HELPER_REFUSED, EBUSY,
		"end the other bangerd of this user: `banger daemon stop`"},
	[PRIV_CODE_USERS] = {BG_ERR_HELPER_LIMIT, ENOSPC,
		"let the administrator raise max_users in /etc/banger/privhelper.conf"},
	[PRIV_CODE_SLOT_LIMIT] = {BG_ERR_HELPER_LIMIT, ENOSPC, NULL},
	[PRIV_CODE_TAKEN] = {BG_ERR_HELPER_REFUSED, EEXIST,
		"let the administrator remove that device: `ip link show | grep bgr`, `dmsetup ls "
		"| grep "
		"banger`"},
	[PRIV_CODE_NO_DM] = {BG_ERR_HELPER_REFUSED, ENODEV, "`sudo modprobe -a loop dm-snapshot`"},
	[PRIV_CODE_NO_NODES] = {BG_ERR_HELPER_REFUSED, ENOENT,
		"install it again: `sudo scripts/install-helper --disk`"},
	[PRIV_CODE_FILE] = {BG_ERR_HELPER_REFUSED, EINVAL,
		"keep banger's state on ext4, btrfs or xfs, in files of your own; or say storage = "
		"\"copy\" in config.toml"},
	[PRIV_CODE_SIZE] = {BG_ERR_HELPER_REFUSED, EINVAL,
		"the image or the disk was changed since: make the VM again"},
	[PRIV_CODE_OVERLAY] = {BG_ERR_HELPER_REFUSED, EUCLEAN,
		"the disk is lost: make the VM again"},
	[PRIV_CODE_IN_USE] = {BG_ERR_HELPER_REFUSED, EBUSY,
		"end what uses it: `sudo fuser -v /dev/banger/*` names it"},
	[PRIV_CODE_MOUNT_OFF] = {BG_ERR_HELPER_REFUSED, EPERM,
		"let the administrator say mount = yes in /etc/banger/privhelper.conf"},
	[PRIV_CODE_NOT_ATTACHED] = {BG_ERR_HELPER_FAILED, ENODEV,
		"start the VM again: `banger vm restart NAME`"},
	[PRIV_CODE_NO_NFT] = {BG_ERR_HELPER_REFUSED, EOPNOTSUPP,
		"banger needs nf_tables with ct, fib and masq: `sudo modprobe nf_tables`, or "
		"another kernel"},
	[PRIV_CODE_NO_FORWARD] = {BG_ERR_HELPER_REFUSED, EROFS,
		"`sudo sysctl -w net.ipv4.ip_forward=1`"},
	[PRIV_CODE_SOCKETS] = {BG_ERR_HELPER_REFUSED, EINVAL,
		"set dns = \"\" in config.toml to do without names"},
	[PRIV_CODE_ROUTE] = {BG_ERR_HELPER_REFUSED, EADDRINUSE,
		"let the administrator choose another pool in /etc/banger/privhelper.conf"},
	[PRIV_CODE_KEEPER] = {BG_ERR_HELPER_REFUSED, EHOSTDOWN,
		"let the administrator start it: `sudo systemctl restart banger-keeper`"},
	[PRIV_CODE_FIREWALL] = {BG_ERR_HELPER_REFUSED, EPERM,
		"let the administrator accept what is forwarded from and to bgr*, for "
		"iptables-legacy with `sudo scripts/install-helper --legacy`: "
		"docs/privilege.md, \"NAT\""},
};
_Static_assert(ARRAY_SIZE(codes) == PRIV_CODE_END_, "one row per code");

/* Which of them, where the verb tells: the caller adds it to the others. */
static const char *helper_of(enum priv_verb verb)
{
	switch (priv_row(verb)->helper) {
	case PRIV_HELPER_NET:
		return "network";
	case PRIV_HELPER_DISK:
		return "disk";
	case PRIV_HELPER_BOTH:
		break;
	}
	return "privileged";
}

static int refusal(const struct priv_rep *rep, struct bg_err **err)
{
	int r = bg_err_set(err, codes[rep->code].err, codes[rep->code].errnum,
		"the %s helper refused %s: %s", helper_of(rep->verb), priv_row(rep->verb)->name,
		priv_code_text(rep->code));

	if (codes[rep->code].hint)
		bg_err_hint(err, "%s", codes[rep->code].hint);
	return r;
}

static int decode(
	const struct priv_msg *msg, enum priv_verb verb, struct priv_rep *ret, struct bg_err **err)
{
	if (priv_rep_decode(msg, ret) < 0 || ret->verb != verb)
		return bg_err_set(err, BG_ERR_HELPER_FAILED, EBADMSG,
			"the %s helper's reply to %s makes no sense", helper_of(verb),
			priv_row(verb)->name);
	return ret->code == PRIV_CODE_OK ? 0 : refusal(ret, err);
}

static void print_ipv4(uint32_t a, char ret[16])
{
	(void)snprintf(ret, 16, "%u.%u.%u.%u", a >> 24, a >> 16 & 0xff, a >> 8 & 0xff, a & 0xff);
}

static void print_mac(const uint8_t m[6], char ret[18])
{
	(void)snprintf(
		ret, 18, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
}

int priv_encode_hello(uint32_t id, struct priv_msg *ret)
{
	const struct priv_req req = {
		.verb = PRIV_HELLO, .id = id, .hello = {.hash = priv_table_hash()}};

	return priv_req_encode(&req, ret);
}

int priv_encode_net_attach(uint32_t id, unsigned slot, struct priv_msg *ret)
{
	const struct priv_req req = {
		.verb = PRIV_NET_ATTACH, .id = id, .net_attach = {.slot = (uint8_t)slot}};

	return slot >= BG_SLOTS_MAX ? -EINVAL : priv_req_encode(&req, ret);
}

int priv_encode_net_detach(uint32_t id, unsigned slot, struct priv_msg *ret)
{
	const struct priv_req req = {
		.verb = PRIV_NET_DETACH, .id = id, .net_detach = {.slot = (uint8_t)slot}};

	return slot >= BG_SLOTS_MAX ? -EINVAL : priv_req_encode(&req, ret);
}

int priv_encode_net_nat(uint32_t id, unsigned slot, bool on, bool peers, struct priv_msg *ret)
{
	const struct priv_req req = {.verb = PRIV_NET_NAT,
		.id = id,
		.net_nat = {.slot = (uint8_t)slot, .on = on, .peers = peers}};

	return slot >= BG_SLOTS_MAX ? -EINVAL : priv_req_encode(&req, ret);
}

int priv_encode_dns_port(uint32_t id, int udp, int tcp, struct priv_msg *ret)
{
	const struct priv_req req = {.verb = PRIV_DNS_PORT, .id = id, .fds = {udp, tcp}};

	return priv_req_encode(&req, ret);
}

int priv_encode_list(uint32_t id, struct priv_msg *ret)
{
	const struct priv_req req = {.verb = PRIV_LIST, .id = id};

	return priv_req_encode(&req, ret);
}

int priv_encode_cleanup(uint32_t id, struct priv_msg *ret)
{
	const struct priv_req req = {.verb = PRIV_CLEANUP, .id = id};

	return priv_req_encode(&req, ret);
}

int priv_encode_disk_attach(uint32_t id, unsigned slot, int base, int overlay, struct priv_msg *ret)
{
	const struct priv_req req = {.verb = PRIV_DISK_ATTACH,
		.id = id,
		.fds = {base, overlay},
		.disk_attach = {.slot = (uint8_t)slot}};

	return slot >= BG_SLOTS_MAX ? -EINVAL : priv_req_encode(&req, ret);
}

int priv_encode_disk_detach(uint32_t id, unsigned slot, struct priv_msg *ret)
{
	const struct priv_req req = {
		.verb = PRIV_DISK_DETACH, .id = id, .disk_detach = {.slot = (uint8_t)slot}};

	return slot >= BG_SLOTS_MAX ? -EINVAL : priv_req_encode(&req, ret);
}

int priv_decode_hello(const struct priv_msg *msg, struct priv_hello *ret, struct bg_err **err)
{
	struct priv_rep rep;
	int r = decode(msg, PRIV_HELLO, &rep, err);

	if (r < 0)
		return r;
	if (rep.hello.hash != priv_table_hash()) {
		rep.code = PRIV_CODE_VERSION;
		return refusal(&rep, err);
	}
	*ret = (struct priv_hello){.index = rep.hello.index,
		.slots = rep.hello.slots,
		.abilities = rep.hello.abilities};
	print_ipv4(rep.hello.gateway, ret->gateway);
	return 0;
}

int priv_decode_net_attach(const struct priv_msg *msg, struct priv_net *ret, struct bg_err **err)
{
	struct priv_rep rep;
	int r = decode(msg, PRIV_NET_ATTACH, &rep, err);

	if (r < 0)
		return r;
	*ret = (struct priv_net){.fresh = rep.net_attach.fresh};
	memcpy(ret->tap, rep.net_attach.tap, sizeof(ret->tap));
	print_ipv4(rep.net_attach.guest, ret->guest);
	print_ipv4(rep.net_attach.gateway, ret->gateway);
	print_mac(rep.net_attach.mac, ret->mac);
	return 0;
}

int priv_decode_net_detach(const struct priv_msg *msg, bool *ret_existed, struct bg_err **err)
{
	struct priv_rep rep;
	int r = decode(msg, PRIV_NET_DETACH, &rep, err);

	if (r >= 0)
		*ret_existed = rep.net_detach.existed;
	return r;
}

int priv_decode_list(const struct priv_msg *msg, uint64_t *ret_slots, struct bg_err **err)
{
	struct priv_rep rep;
	int r = decode(msg, PRIV_LIST, &rep, err);

	if (r >= 0)
		*ret_slots = rep.list.attached;
	return r;
}

int priv_decode_cleanup(const struct priv_msg *msg, uint64_t *ret_slots, struct bg_err **err)
{
	struct priv_rep rep;
	int r = decode(msg, PRIV_CLEANUP, &rep, err);

	if (r >= 0)
		*ret_slots = rep.cleanup.removed;
	return r;
}

int priv_decode_disk_attach(const struct priv_msg *msg, char node[PRIV_NAME], struct bg_err **err)
{
	struct priv_rep rep;
	int r = decode(msg, PRIV_DISK_ATTACH, &rep, err);

	if (r >= 0)
		memcpy(node, rep.disk_attach.node, PRIV_NAME);
	return r;
}

int priv_decode_disk_detach(const struct priv_msg *msg, bool *ret_existed, struct bg_err **err)
{
	struct priv_rep rep;
	int r = decode(msg, PRIV_DISK_DETACH, &rep, err);

	if (r >= 0)
		*ret_existed = rep.disk_detach.existed;
	return r;
}

int priv_decode_net_nat(const struct priv_msg *msg, bool *ret_changed, struct bg_err **err)
{
	struct priv_rep rep;
	int r = decode(msg, PRIV_NET_NAT, &rep, err);

	if (r >= 0)
		*ret_changed = rep.net_nat.changed;
	return r;
}

int priv_decode_dns_port(const struct priv_msg *msg, struct bg_err **err)
{
	struct priv_rep rep;

	return decode(msg, PRIV_DNS_PORT, &rep, err);
}

int priv_reply_id(const struct priv_msg *msg, uint32_t *ret)
{
	struct priv_rep rep;
	int r = priv_rep_decode(msg, &rep);

	if (r >= 0)
		*ret = rep.id;
	return r;
}
