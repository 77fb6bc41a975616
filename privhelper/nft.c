/* SPDX-License-Identifier: ISC */
/* See nft.h. The transactions; what the tables say is nft_rules.c's. */
#include "privhelper/nft.h"

#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>

#include "privhelper/nft_rules.h"

enum {
	FOREIGN_MAX = 64, /* base chains on the way of what is forwarded, of all other tables */
	RETRIES = 5,	  /* of a dump that others changed meanwhile */
	OWN_RULES = 2,	  /* in a chain of somebody else's */
	OWN_MAX = 16,	  /* of them, should somebody have copied them */
	F_OWNER = 2,	  /* of a table: NFT_TABLE_F_OWNER, since Linux 5.12; headers lag behind */
	F_PERSIST = 4,	  /* NFT_TABLE_F_PERSIST, since 6.9 */
};

/* ---- what others have ---- */

struct foreign {
	uint8_t family;
	bool drops;
	char table[NFT_NAME_MAXLEN], chain[NFT_NAME_MAXLEN];
	unsigned n_own;
	uint64_t own[OWN_MAX]; /* handles of our rules in it */
};

struct survey {
	struct nft_names names;
	unsigned n_foreign;
	struct foreign foreign[FOREIGN_MAX];
	struct foreign *at;
	uint32_t chains, uses; /* of PLAIN: its chains, and the rules in them */
};

static bool is_ours(const struct nlattr *table)
{
	return table && nlmsg_data_len(table) > 7 && memcmp(nlmsg_data(table), "banger-", 7) == 0;
}

static bool on_the_way(const struct nlattr *hook)
{
	const struct nlattr *attr[NFTA_HOOK_MAX + 1];

	if (!hook)
		return false;
	nlmsg_nested(hook, attr, NFTA_HOOK_MAX);
	return attr[NFTA_HOOK_HOOKNUM] && nft_u32(attr[NFTA_HOOK_HOOKNUM]) == NF_INET_FORWARD;
}

static int see_chain(uint8_t family, const struct nlattr *const *attr, void *userdata)
{
	struct survey *s = userdata;
	struct foreign *f;

	if (family == NFPROTO_IPV4 && nlmsg_is(attr[NFTA_CHAIN_TABLE], s->names.table)) {
		s->chains++;
		s->uses += nft_u32(attr[NFTA_CHAIN_USE]);
	}
	if ((family != NFPROTO_IPV4 && family != NFPROTO_INET) || is_ours(attr[NFTA_CHAIN_TABLE]) ||
		!on_the_way(attr[NFTA_CHAIN_HOOK]))
		return 0;
	f = &s->foreign[s->n_foreign];
	if (s->n_foreign++ == FOREIGN_MAX ||
		!nlmsg_text(attr[NFTA_CHAIN_TABLE], f->table, sizeof(f->table)) ||
		!nlmsg_text(attr[NFTA_CHAIN_NAME], f->chain, sizeof(f->chain)))
		return -E2BIG;
	f->family = family;
	f->drops = attr[NFTA_CHAIN_POLICY] && nft_u32(attr[NFTA_CHAIN_POLICY]) == NF_DROP;
	return 0;
}

static int see_rule(uint8_t family, const struct nlattr *const *attr, void *userdata)
{
	const struct nlattr *mark = attr[NFTA_RULE_USERDATA], *handle = attr[NFTA_RULE_HANDLE];
	struct survey *s = userdata;

	(void)family;
	if (!mark || !handle || nlmsg_data_len(mark) != s->names.mark_len ||
		memcmp(nlmsg_data(mark), s->names.mark, s->names.mark_len) != 0)
		return 0;
	if (nlmsg_data_len(handle) != sizeof(uint64_t) || s->at->n_own == OWN_MAX)
		return -E2BIG;
	memcpy(&s->at->own[s->at->n_own++], nlmsg_data(handle), sizeof(uint64_t));
	return 0;
}

static int survey_once(struct nft *n, const struct nft_user *user, struct survey *s)
{
	int r;

	*s = (struct survey){.n_foreign = 0};
	nft_names_make(user, &s->names);
	r = nft_dump(n, NFT_MSG_GETCHAIN, NFPROTO_UNSPEC, NULL, NULL, see_chain, s);
	for (unsigned i = 0; i < s->n_foreign && r >= 0; i++) {
		s->at = &s->foreign[i];
		r = nft_dump(
			n, NFT_MSG_GETRULE, s->at->family, s->at->table, s->at->chain, see_rule, s);
	}
	return r;
}

static int survey(struct nft *n, const struct nft_user *user, struct survey *s)
{
	int r = -EINTR;

	for (int i = 0; i < RETRIES && (r == -EINTR || r == -ENOENT); i++)
		r = survey_once(n, user, s);
	return r;
}

/* ---- our rules in chains of others ---- */

static void delete_rule(struct nft_builder *b, const struct foreign *f, uint64_t handle)
{
	nft_msg(b->n, NFT_MSG_DELRULE, f->family, 0);
	nlmsg_put_str(&b->n->req, NFTA_RULE_TABLE, f->table);
	nlmsg_put_str(&b->n->req, NFTA_RULE_CHAIN, f->chain);
	nlmsg_put(&b->n->req, NFTA_RULE_HANDLE, &handle, sizeof(handle));
}

static bool as_wanted(const struct foreign *f, const struct nft_user *user)
{
	return f->n_own == (user->nat && f->drops ? OWN_RULES : 0);
}

static bool all_as_wanted(const struct survey *s, const struct nft_user *user)
{
	for (unsigned i = 0; i < s->n_foreign; i++)
		if (!as_wanted(&s->foreign[i], user))
			return false;
	return true;
}

static void mend_foreign(struct nft_builder *b, const struct foreign *f)
{
	const bool mend = !as_wanted(f, b->user);

	for (unsigned i = 0; i < f->n_own && mend; i++)
		delete_rule(b, f, f->own[i]);
	if (b->user->nat && f->drops && mend) {
		nft_put_accept(b, f->family, f->table, f->chain, true);
		nft_put_accept(b, f->family, f->table, f->chain, false);
	}
}

/* ---- the whole ---- */

enum change {
	CHANGE_TABLES,
	CHANGE_PLAIN,
	CHANGE_FOREIGN,
	CHANGE_REMOVE,
	CHANGE_FENCE,
	CHANGE_NO_FENCE
};

static void put_change(struct nft_builder *b, enum change what, uint32_t flags)
{
	bool remove = what == CHANGE_REMOVE, names = b->user->names[0] != 0;

	if (what == CHANGE_TABLES || what == CHANGE_PLAIN || remove)
		(remove ? nft_put_no_table : nft_put_table)(b, PLAIN, 0);
	if (what == CHANGE_TABLES || remove)
		(remove || !names ? nft_put_no_table : nft_put_table)(b, NAMES, flags);
	if (what == CHANGE_FENCE || (what == CHANGE_TABLES && b->user->fence))
		nft_put_table(b, FENCE, flags);
	if (what == CHANGE_NO_FENCE || (remove && b->user->fence))
		nft_put_no_table(b, FENCE, flags);
}

/* One transaction after one look at what there is; -ENOENT and -EINTR: it changed in between. */
static int change(struct nft *n, const struct nft_user *user, enum change what, uint32_t flags)
{
	struct survey s;
	struct nft_builder b = {.n = n, .user = user, .names = &s.names};
	int r = survey(n, user, &s);

	if (r < 0)
		return r;
	nft_begin(n);
	put_change(&b, what, flags);
	if (what == CHANGE_FOREIGN || what == CHANGE_REMOVE)
		for (unsigned i = 0; i < s.n_foreign; i++)
			mend_foreign(&b, &s.foreign[i]);
	return nft_commit(n);
}

static int change_surely(
	struct nft *n, const struct nft_user *user, enum change what, uint32_t flags)
{
	int r = -EINTR;

	for (int i = 0; i < RETRIES && (r == -EINTR || r == -ENOENT); i++)
		r = change(n, user, what, flags);
	return r;
}

/* An older kernel refuses flags that it does not know: the table is then one like others. */
static int change_owned(
	struct nft *n, const struct nft_user *user, enum change what, uint32_t flags)
{
	int r = change_surely(n, user, what, flags);

	if ((r == -EOPNOTSUPP || r == -EINVAL) && flags)
		r = change_owned(n, user, what, flags & F_PERSIST ? F_OWNER : 0);
	return r;
}

static uint32_t seal_of(const struct survey *s)
{
	return s->chains ? s->chains << 16 | s->uses : 0;
}

int nft_apply(struct nft *n, const struct nft_user *user, uint32_t *ret_seal)
{
	struct survey s;
	int r = change_owned(n, user, CHANGE_TABLES, F_OWNER);

	if (r < 0)
		return r;
	r = survey(n, user, &s);
	*ret_seal = seal_of(&s);
	return r;
}

int nft_let_through(struct nft *n, const struct nft_user *user)
{
	struct survey s;
	int r = survey(n, user, &s);

	return r < 0 || all_as_wanted(&s, user) ? r : change_surely(n, user, CHANGE_FOREIGN, 0);
}

int nft_remove(struct nft *n, const struct nft_user *user)
{
	struct nft_user none = *user;
	struct survey s;
	int r = survey(n, user, &s);

	none.nat = 0;
	if (r < 0 || (s.chains == 0 && !user->names[0] && all_as_wanted(&s, &none) &&
			     !(user->fence && nft_has_fence(n, user))))
		return r;
	return change_owned(n, &none, CHANGE_REMOVE, F_OWNER);
}

bool nft_intact(struct nft *n, const struct nft_user *user, uint32_t seal)
{
	struct survey s;

	return survey(n, user, &s) >= 0 && seal != 0 && seal_of(&s) == seal &&
	       all_as_wanted(&s, user);
}

/* ---- the fence ---- */

int nft_fence(struct nft *n, const struct nft_user *user, bool on)
{
	return change_owned(n, user, on ? CHANGE_FENCE : CHANGE_NO_FENCE, F_OWNER | F_PERSIST);
}

struct search {
	char table[NFT_NAME_MAXLEN];
	bool found;
};

static int see_table(uint8_t family, const struct nlattr *const *attr, void *userdata)
{
	struct search *s = userdata;

	s->found |= family == NFPROTO_IPV4 && nlmsg_is(attr[NFTA_TABLE_NAME], s->table);
	return 0;
}

static bool has_table(struct nft *n, const struct nft_user *user, enum nft_table table)
{
	struct search s = {.found = false};

	nft_table_name(user, table, s.table);
	(void)nft_dump(n, NFT_MSG_GETTABLE, NFPROTO_IPV4, NULL, NULL, see_table, &s);
	return s.found;
}

bool nft_has_fence(struct nft *n, const struct nft_user *user)
{
	return has_table(n, user, FENCE);
}

int nft_restore(struct nft *n, const struct nft_user *user)
{
	int r = has_table(n, user, PLAIN) ? 0 : change_surely(n, user, CHANGE_PLAIN, 0);

	return r < 0 ? r : nft_let_through(n, user);
}
