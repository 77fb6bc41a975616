/* SPDX-License-Identifier: ISC */
/* See seal.h. */
#include "common/seal.h"

static struct scmp_arg_cmp compare(enum seal_match match, unsigned arg, uint64_t value)
{
	switch (match) {
	case SEAL_ALWAYS:
		break;
	case SEAL_IS:
		return SCMP_CMP(arg, SCMP_CMP_EQ, value);
	case SEAL_IS_32:
		return SCMP_CMP(arg, SCMP_CMP_MASKED_EQ, 0xffffffff, value & 0xffffffff);
	case SEAL_NOT:
		return SCMP_CMP(arg, SCMP_CMP_NE, value);
	case SEAL_HAS:
		return SCMP_CMP(arg, SCMP_CMP_MASKED_EQ, value, value);
	case SEAL_LACKS:
		return SCMP_CMP(arg, SCMP_CMP_MASKED_EQ, value, 0);
	case SEAL_BELOW:
		return SCMP_CMP(arg, SCMP_CMP_LT, value);
	case SEAL_IOCTL:
		return SCMP_CMP(arg, SCMP_CMP_MASKED_EQ, 0xff00, value << 8);
	}
	return (struct scmp_arg_cmp){};
}

static int add(scmp_filter_ctx ctx, const struct seal_rule *rule)
{
	uint32_t action = rule->errnum == SEAL_ALLOW ? SCMP_ACT_ALLOW
						     : SCMP_ACT_ERRNO((unsigned)rule->errnum);
	struct scmp_arg_cmp conditions[2];
	unsigned n = 0;

	if (rule->match != SEAL_ALWAYS)
		conditions[n++] = compare(rule->match, rule->arg, rule->value);
	if (rule->also != SEAL_ALWAYS)
		conditions[n++] = compare(rule->also, rule->also_arg, rule->also_value);
	return seccomp_rule_add_array(ctx, action, rule->syscall, n, conditions);
}

int seal_add(scmp_filter_ctx ctx, const struct seal_rule *rules, size_t n)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < n; i++)
		r = add(ctx, &rules[i]);
	return r;
}

scmp_filter_ctx seal_new(uint32_t others, const struct seal_rule *rules, size_t n)
{
	scmp_filter_ctx ctx = seccomp_init(others);

	if (!ctx)
		return NULL;
	/* i386 on x86-64 would count other numbers. */
	if (seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS)) >= 0 &&
		seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2) >= 0 &&
		seal_add(ctx, rules, n) >= 0)
		return ctx;
	seccomp_release(ctx);
	return NULL;
}
