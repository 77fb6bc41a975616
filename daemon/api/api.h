/* SPDX-License-Identifier: ISC */
/*
 * api.h: the handlers, one per row of common/http_routes.def. The preprocessor cannot make a
 * symbol lower case, so each is spelled here once; a row without its line does not link.
 */
#ifndef BG_DAEMON_API_API_H
#define BG_DAEMON_API_API_H

#include "daemon/http/http.h"

#define api_DAEMON_STATUS  api_daemon_status
#define api_DAEMON_STOP	   api_daemon_stop
#define api_ORPHAN_REMOVE  api_orphan_remove
#define api_OPENAPI	   api_openapi
#define api_VERSION	   api_version
#define api_METRICS	   api_metrics
#define api_VM_LIST	   api_vm_list
#define api_VM_CREATE	   api_vm_create
#define api_VM_SHOW	   api_vm_show
#define api_VM_DELETE	   api_vm_delete
#define api_VM_START	   api_vm_start
#define api_VM_STOP	   api_vm_stop
#define api_VM_PAUSE	   api_vm_pause
#define api_VM_RESUME	   api_vm_resume
#define api_VM_SUSPEND	   api_vm_suspend
#define api_VM_RESTART	   api_vm_restart
#define api_VM_KILL	   api_vm_kill
#define api_VM_SET	   api_vm_set
#define api_VM_LOGS	   api_vm_logs
#define api_VM_EXEC	   api_vm_exec
#define api_VM_TERMINAL	   api_vm_terminal
#define api_WEB_TOKEN	   api_web_token
#define api_WEB_SIGN_OUT   api_web_sign_out
#define api_VM_USAGE	   api_vm_usage
#define api_IMAGE_LIST	   api_image_list
#define api_IMAGE_BUILD	   api_image_build
#define api_IMAGE_COMMIT   api_image_commit
#define api_IMAGE_REGISTER api_image_register
#define api_IMAGE_PULL	   api_image_pull
#define api_IMAGE_PRUNE	   api_image_prune
#define api_IMAGE_EXPORT   api_image_export
#define api_IMAGE_IMPORT   api_image_import
#define api_IMAGE_PROMOTE  api_image_promote
#define api_IMAGE_SHOW	   api_image_show
#define api_IMAGE_DELETE   api_image_delete
#define api_KERNEL_LIST	   api_kernel_list
#define api_KERNEL_IMPORT  api_kernel_import
#define api_KERNEL_PULL	   api_kernel_pull
#define api_KERNEL_SHOW	   api_kernel_show
#define api_KERNEL_DELETE  api_kernel_delete
#define api_CATALOG_LIST   api_catalog_list
#define api_FILE_LIST	   api_file_list
#define api_OP_LIST	   api_op_list
#define api_OP_SHOW	   api_op_show
#define api_OP_FOLLOW	   api_op_follow
#define api_OP_CANCEL	   api_op_cancel
#define api_EVENTS	   api_events
#define api_USAGE	   api_usage

#define X(sym, method, path, query, body, reply, summary)                                          \
	void api_##sym(struct http_call *call, struct engine *engine);
#include "common/http_routes.def"
#undef X

/* Gives them all to daemon/http; before the first request. */
void api_routes_bind(void);

#endif
