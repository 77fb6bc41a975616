#include "worker/job.h"
int job_kernel(struct job *job, json_t **ret, struct bg_err **err) { return bg_err_set(err, BG_ERR_WORKER, 0, "x"); }
int job_vmlinux(struct job *job, json_t **ret, struct bg_err **err) { return bg_err_set(err, BG_ERR_WORKER, 0, "x"); }
