/* SPDX-License-Identifier: ISC */
/*
 * kvm_probe.h: does KVM run guests natively here? A /dev/kvm may exist and emulate every
 * instruction, which only the clock shows. Used by vmm_probe.c and doctor.
 */
#ifndef BG_HOST_KVM_PROBE_H
#define BG_HOST_KVM_PROBE_H

#include "common/base.h"

/* What the child writes to its pipe, once. */
struct kvm_verdict {
	int32_t error; /* 0, or a positive errno of step */
	int32_t step;  /* enum kvm_step */
	uint64_t usec; /* of the counting loop */
};

enum kvm_step {
	KVM_STEP_OPEN,
	KVM_STEP_VERSION,
	KVM_STEP_VM,
	KVM_STEP_MEMORY,
	KVM_STEP_CPU,
	KVM_STEP_RUN,
	KVM_STEP_MAX_
};

/* Native: under 1 ms. Emulated (measured): 300 ms. */
#define KVM_PROBE_LOOPS	       200000u /* of two instructions */
#define KVM_PROBE_ALLOWED_USEC 20000u
/* Between the two, a busy host may have taken the processor away: the best of some runs counts. */
#define KVM_PROBE_DOUBTFUL_USEC 150000u
#define KVM_PROBE_RUNS_MAX	5
#define KVM_PROBE_DEADLINE_USEC 1000000u

/*
 * Runs the guest. Blocks for up to however long KVM takes: for a child that is killed at the
 * deadline. Makes only system calls, so it may run between fork and exit of a program with threads.
 */
void kvm_probe_run(struct kvm_verdict *ret);
/* Usable or not, in a sentence that follows "Firecracker: " or "QEMU in software: ". */
bool kvm_verdict_explain(const struct kvm_verdict *verdict, char *ret, size_t size);

#endif
