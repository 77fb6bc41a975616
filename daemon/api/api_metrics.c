/* SPDX-License-Identifier: ISC */
/*
 * GET /v1/metrics: numbers for Prometheus, in its text form 0.0.4. Names of VMs are of [a-z0-9-], so labels need no
 * escapes.
 */
#include <stdio.h>

#include "common/usage.h"
#include "common/version.h"
#include "daemon/api/api.h"
#include "daemon/engine.h"

#define TYPE "text/plain; version=0.0.4; charset=utf-8"

static void begin(FILE *f, const char *name, const char *type, const char *help)
{
	fprintf(f, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_states(FILE *f, const struct engine *engine)
{
	begin(f, "banger_vms", "gauge", "VMs by state.");
	for (int state = 0; state < VM_STATE_MAX_; state++)
		fprintf(f, "banger_vms{state=\"%s\"} %u\n", vm_state_str((enum vm_state)state),
			vms_count(engine->vms, (enum vm_state)state));
}

/* What one VM uses, in a column per name; rows without a VMM are left out. */
struct row {
	const struct vm *vm;
	struct bg_usage usage;
};

static size_t read_rows(const struct engine *engine, struct row **ret)
{
	size_t n = 0, size = vms_count(engine->vms, VM_RUNNING) +
			     vms_count(engine->vms, VM_STARTING) +
			     vms_count(engine->vms, VM_STOPPING);
	struct row *rows = calloc(size + 1, sizeof(*rows));

	for (struct vm *vm = vms_first(engine->vms); rows && vm && n < size; vm = vm->next) {
		const char *const files[] = {vm->paths.disk_root, vm->paths.disk_work, NULL};

		if (vm->vmm && bg_usage_read((pid_t)vm->row->pid, files, &rows[n].usage) >= 0)
			rows[n++].vm = vm;
	}
	*ret = rows;
	return n;
}

static void put_usage(FILE *f, const struct engine *engine)
{
	static const struct {
		const char *name, *type, *help;
	} columns[] = {
		{"banger_vm_cpu_seconds_total", "counter", "CPU time of the VMM on this host."},
		{"banger_vm_memory_bytes", "gauge", "Resident memory of the VMM."},
		{"banger_vm_disk_bytes", "gauge", "What the VM's disks take on this host."},
		{"banger_vm_written_bytes_total", "counter",
			"Bytes that the VMM wrote to this host's disks."},
	};
	_free_ struct row *rows = NULL;
	size_t n = read_rows(engine, &rows);

	for (size_t c = 0; c < ARRAY_SIZE(columns); c++) {
		begin(f, columns[c].name, columns[c].type, columns[c].help);
		for (size_t i = 0; i < n; i++) {
			const struct bg_usage *u = &rows[i].usage;
			const double values[] = {u->cpu_s, (double)u->memory_bytes,
				(double)u->disk_bytes, (double)u->written_bytes};

			fprintf(f, "%s{vm=\"%s\",id=\"%s\"} %.17g\n", columns[c].name,
				rows[i].vm->row->name, rows[i].vm->row->id, values[c]);
		}
	}
}

static void put_operations(FILE *f, const struct engine *engine)
{
	static const char *const words[] = {
		[OP_DONE] = "done", [OP_FAILED] = "failed", [OP_CANCELLED] = "cancelled"};

	begin(f, "banger_operations", "gauge", "Operations that run.");
	fprintf(f, "banger_operations %u\n", ops_running(engine->ops));
	begin(f, "banger_operations_ended_total", "counter",
		"Operations that ended since the daemon started.");
	for (int state = OP_DONE; state < OP_STATE_MAX_; state++)
		fprintf(f, "banger_operations_ended_total{state=\"%s\"} %llu\n", words[state],
			(unsigned long long)ops_ended(engine->ops, (enum op_state)state));
}

static void put_latency(FILE *f)
{
	const struct loop_latency *l = loop_latency();
	unsigned long long sum = 0;

	begin(f, "banger_loop_callback_seconds", "histogram",
		"How long callbacks of the daemon's loop took.");
	for (size_t i = 0; i < LOOP_BOUNDS; i++) {
		sum += l->within[i];
		fprintf(f, "banger_loop_callback_seconds_bucket{le=\"%g\"} %llu\n",
			loop_bounds_usec[i] / 1e6, sum);
	}
	sum += l->above;
	fprintf(f, "banger_loop_callback_seconds_bucket{le=\"+Inf\"} %llu\n", sum);
	fprintf(f,
		"banger_loop_callback_seconds_sum %.6f\nbanger_loop_callback_seconds_count %llu\n",
		(double)l->sum_usec / 1e6, sum);
}

static void put_daemon(FILE *f, const struct engine *engine)
{
	struct bg_usage own = {0};

	(void)bg_usage_read(getpid(), (const char *const[]){NULL}, &own);
	begin(f, "banger_info", "gauge", "Always 1; the version is in its label.");
	fprintf(f, "banger_info{version=\"%s\"} 1\n", BG_VERSION);
	begin(f, "banger_start_time_seconds", "gauge", "When the daemon started, since 1970.");
	fprintf(f, "banger_start_time_seconds %lld\n", (long long)engine->started_at);
	begin(f, "banger_daemon_memory_bytes", "gauge", "Resident memory of the daemon's engine.");
	fprintf(f, "banger_daemon_memory_bytes %lld\n", (long long)own.memory_bytes);
	begin(f, "banger_daemon_cpu_seconds_total", "counter", "CPU time of the daemon's engine.");
	fprintf(f, "banger_daemon_cpu_seconds_total %.17g\n", own.cpu_s);
}

void api_metrics(struct http_call *call, struct engine *engine)
{
	_free_ char *text = NULL;
	struct http_stream *stream;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	struct bg_err *err = NULL;

	if (!f) {
		bg_err_set(&err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
		http_reply_error(call, err);
		return;
	}
	put_daemon(f, engine);
	put_states(f, engine);
	put_usage(f, engine);
	put_operations(f, engine);
	put_latency(f);
	fclose(f);
	stream = http_reply_stream(call, TYPE, NULL, NULL);
	if (!stream)
		return;
	http_stream_bytes(stream, text, len);
	http_stream_end(stream);
}
