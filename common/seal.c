/* SPDX-License-Identifier: ISC */
/* See seal.h. */
#include "common/seal.h"

static struct scmp_arg_cmp compare(const struct seal_rule *rule)
{
	switch (rule->match) {
	case SEAL_ALWAYS:
		break;
	case SEAL_IS:
		return SCMP_CMP(rule->arg, SCMP_CMP_EQ, rule->value);
	case SEAL_NOT:
		return SCMP_CMP(rule->arg, SCMP_CMP_NE, rule->value);
	case SEAL_HAS:
		return SCMP_CMP(rule->arg, SCMP_CMP_MASKED_EQ, rule->value, rule->value);
	case SEAL_LACKS:
		return SCMP_CMP(rule->arg, SCMP_CMP_MASKED_EQ, rule->value, 0);
	}
	return (struct scmp_arg_cmp){};
}

int seal_add(scmp_filter_ctx ctx, const struct seal_rule *rules, size_t n)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < n; i++) {
		const struct seal_rule *rule = &rules[i];
		uint32_t action = rule->errnum == SEAL_ALLOW
					  ? SCMP_ACT_ALLOW
					  : SCMP_ACT_ERRNO((unsigned)rule->errnum);

		r = rule->match == SEAL_ALWAYS
			    ? seccomp_rule_add(ctx, action, rule->syscall, 0)
			    : seccomp_rule_add(ctx, action, rule->syscall, 1, compare(rule));
	}
	return r;
}
