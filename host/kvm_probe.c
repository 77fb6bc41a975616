/* SPDX-License-Identifier: ISC */
/*
 * kvm_probe.c: Steps towards a VM of a few instructions, each of which can fail with its own
 * reason; then the clock decides.
 */
#include "host/kvm_probe.h"

#include <assert.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

/* mov ecx, KVM_PROBE_LOOPS; loop: dec ecx; jnz loop; hlt (16-bit real mode, 32-bit operands by
 * prefix 0x66) */
static const uint8_t guest_code[] = {0x66, 0xb9, KVM_PROBE_LOOPS & 0xff,
	KVM_PROBE_LOOPS >> 8 & 0xff, KVM_PROBE_LOOPS >> 16 & 0xff, KVM_PROBE_LOOPS >> 24 & 0xff,
	0x66, 0x49, 0x75, 0xfc, 0xf4};

enum { GUEST_MEMORY = 4096, GUEST_ADDRESS = 0x1000 };

static const char *const step_names[] = {
	[KVM_STEP_OPEN] = "open /dev/kvm",
	[KVM_STEP_VERSION] = "ask for its version",
	[KVM_STEP_VM] = "make a guest",
	[KVM_STEP_MEMORY] = "give it memory",
	[KVM_STEP_CPU] = "give it a processor",
	[KVM_STEP_RUN] = "run it",
};
static_assert(ARRAY_SIZE(step_names) == KVM_STEP_MAX_, "one name per step");

struct probe {
	int kvm, vm, cpu;
	void *memory;
	struct kvm_run *run;
	uint64_t usec; /* of the best run */
};

static uint64_t now_usec(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static int step_open(struct probe *p)
{
	p->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	return p->kvm < 0 ? errno : 0;
}

static int step_version(struct probe *p)
{
	int version = ioctl(p->kvm, KVM_GET_API_VERSION, 0);

	if (version < 0)
		return errno;
	return version == KVM_API_VERSION ? 0 : EPROTO;
}

static int step_vm(struct probe *p)
{
	p->vm = ioctl(p->kvm, KVM_CREATE_VM, 0);
	return p->vm < 0 ? errno : 0;
}

static int step_memory(struct probe *p)
{
	struct kvm_userspace_memory_region region = {
		.guest_phys_addr = GUEST_ADDRESS, .memory_size = GUEST_MEMORY};

	p->memory =
		mmap(NULL, GUEST_MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (p->memory == MAP_FAILED)
		return errno;
	memcpy(p->memory, guest_code, sizeof(guest_code));
	region.userspace_addr = (uintptr_t)p->memory;
	return ioctl(p->vm, KVM_SET_USER_MEMORY_REGION, &region) < 0 ? errno : 0;
}

static int set_registers(const struct probe *p)
{
	struct kvm_regs regs = {.rip = GUEST_ADDRESS, .rflags = 2 /* the bit that is always set */};
	struct kvm_sregs sregs;

	if (ioctl(p->cpu, KVM_GET_SREGS, &sregs) < 0)
		return errno;
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	if (ioctl(p->cpu, KVM_SET_SREGS, &sregs) < 0)
		return errno;
	return ioctl(p->cpu, KVM_SET_REGS, &regs) < 0 ? errno : 0;
}

static int step_cpu(struct probe *p)
{
	int size = ioctl(p->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	void *run;

	if (size < (int)sizeof(*p->run))
		return size < 0 ? errno : EPROTO;
	p->cpu = ioctl(p->vm, KVM_CREATE_VCPU, 0);
	if (p->cpu < 0)
		return errno;
	run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, p->cpu, 0);
	if (run == MAP_FAILED)
		return errno;
	p->run = run;
	return set_registers(p);
}

/* Ends at the hlt, with ecx counted down; anything else is not a KVM that runs guests. */
static int run_once(struct probe *p)
{
	struct kvm_regs regs;
	uint64_t started = now_usec();

	if (ioctl(p->cpu, KVM_RUN, 0) < 0)
		return errno;
	if (p->run->exit_reason != KVM_EXIT_HLT)
		return EPROTO;
	p->usec = BG_MIN(p->usec, now_usec() - started);
	if (ioctl(p->cpu, KVM_GET_REGS, &regs) < 0)
		return errno;
	return (uint32_t)regs.rcx == 0 ? 0 : EPROTO;
}

static int step_run(struct probe *p)
{
	int e = run_once(p);

	for (int i = 1; i < KVM_PROBE_RUNS_MAX && e == 0; i++) {
		if (p->usec <= KVM_PROBE_ALLOWED_USEC || p->usec > KVM_PROBE_DOUBTFUL_USEC)
			break;
		e = set_registers(p);
		if (e == 0)
			e = run_once(p);
	}
	return e;
}

static int (*const steps[])(struct probe *p) = {
	[KVM_STEP_OPEN] = step_open,
	[KVM_STEP_VERSION] = step_version,
	[KVM_STEP_VM] = step_vm,
	[KVM_STEP_MEMORY] = step_memory,
	[KVM_STEP_CPU] = step_cpu,
	[KVM_STEP_RUN] = step_run,
};
static_assert(ARRAY_SIZE(steps) == KVM_STEP_MAX_, "one function per step");

/* What it opens goes with the child. */
void kvm_probe_run(struct kvm_verdict *ret)
{
	struct probe p = {.kvm = -1, .vm = -1, .cpu = -1, .usec = UINT64_MAX};

	*ret = (struct kvm_verdict){0};
	for (int i = 0; i < KVM_STEP_MAX_; i++) {
		ret->step = i;
		ret->error = steps[i](&p);
		if (ret->error != 0)
			return;
	}
	ret->usec = p.usec;
}

static bool explain_error(const struct kvm_verdict *v, char *ret, size_t size)
{
	if (v->step == KVM_STEP_OPEN && v->error == ENOENT)
		snprintf(ret, size, "there is no /dev/kvm");
	else if (v->step == KVM_STEP_OPEN && (v->error == EACCES || v->error == EPERM))
		snprintf(ret, size,
			"you may not open /dev/kvm (`sudo usermod -aG kvm $USER`, then log in "
			"again)");
	else if (v->error == ETIMEDOUT)
		snprintf(ret, size, "/dev/kvm did not end a probe of %u instructions within %u ms",
			2 * KVM_PROBE_LOOPS, KVM_PROBE_DEADLINE_USEC / 1000);
	else
		snprintf(ret, size, "KVM cannot %s: %s",
			(unsigned)v->step < KVM_STEP_MAX_ ? step_names[v->step] : "be tried",
			strerror(v->error));
	return false;
}

bool kvm_verdict_explain(const struct kvm_verdict *v, char *ret, size_t size)
{
	if (v->error != 0)
		return explain_error(v, ret, size);
	if (v->usec > KVM_PROBE_ALLOWED_USEC) {
		snprintf(ret, size,
			"/dev/kvm emulates every instruction (%llu ms for the probe, %u ms "
			"allowed)",
			(unsigned long long)v->usec / 1000, KVM_PROBE_ALLOWED_USEC / 1000);
		return false;
	}
	snprintf(ret, size, "KVM runs guests (%llu.%llu ms for the probe)",
		(unsigned long long)v->usec / 1000, (unsigned long long)v->usec % 1000 / 100);
	return true;
}
