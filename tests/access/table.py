"""Who gets what of every URL of the site, and what an obeyed request leaves in the record.

An answer is a status, the name of the URL that it redirects to, or `>` for the one in the last column. With `!` the
request is obeyed; without, it changes nothing at all.
"""

from tests.access.world import ACTORS

TABLE = """
URL                         anonymous  former   roleless  elsewhere  inside  viewer  operator  admin  to

health                GET   200        200      200       200        200     200     200       200
health                POST  405        405      405       405        405     405     405       405

home                  GET   sign-in    sign-in  200       200        200     200     200       200
home                  POST  sign-in    sign-in  405       405        405     405     405       405
send                  GET   sign-in    sign-in  403       200        200     403     200       200
send                  POST  sign-in    sign-in  403       422        >!      403     >!        >!     run
send-targets          GET   sign-in    sign-in  200       200        200     200     200       200
send-targets          POST  sign-in    sign-in  200       200        200     200     200       200
send-parameters       GET   sign-in    sign-in  403       200        200     403     200       200
send-parameters       POST  sign-in    sign-in  405       405        405     405     405       405
runs                  GET   sign-in    sign-in  200       200        200     200     200       200
runs                  POST  sign-in    sign-in  405       405        405     405     405       405
run                   GET   sign-in    sign-in  404       404        200     200     200       200
run                   POST  sign-in    sign-in  405       405        405     405     405       405
stop-run              GET   sign-in    sign-in  405       405        405     405     405       405
stop-run              POST  sign-in    sign-in  404       404        >!      403     >!        >!     run
answer-run            GET   sign-in    sign-in  405       405        405     405     405       405
answer-run            POST  sign-in    sign-in  404       404        >!      403     >!        >!     run
send-again            GET   sign-in    sign-in  405       405        405     405     405       405
send-again            POST  sign-in    sign-in  403       404        200     403     200       200
recheck-run           GET   sign-in    sign-in  405       405        405     405     405       405
recheck-run           POST  sign-in    sign-in  404       404        >!      403     >!        >!     run
download              GET   sign-in    sign-in  404       404        200     200     200       200
download              POST  sign-in    sign-in  405       405        405     405     405       405
run-csv               GET   sign-in    sign-in  404       404        200     200     200       200
run-csv               POST  sign-in    sign-in  405       405        405     405     405       405
run-json              GET   sign-in    sign-in  404       404        200     200     200       200
run-json              POST  sign-in    sign-in  405       405        405     405     405       405
run-zip               GET   sign-in    sign-in  404       404        200     200     200       200
run-zip               POST  sign-in    sign-in  405       405        405     405     405       405
history-csv           GET   sign-in    sign-in  200       200        200     200     200       200
history-csv           POST  sign-in    sign-in  405       405        405     405     405       405
history-json          GET   sign-in    sign-in  200       200        200     200     200       200
history-json          POST  sign-in    sign-in  405       405        405     405     405       405
run-compare           GET   sign-in    sign-in  404       404        200     200     200       200
run-compare           POST  sign-in    sign-in  405       405        405     405     405       405
run-report            GET   sign-in    sign-in  404       404        200     200     200       200
run-report            POST  sign-in    sign-in  405       405        405     405     405       405
saved-history         GET   sign-in    sign-in  403       200        200     200     200       200
saved-history         POST  sign-in    sign-in  405       405        405     405     405       405
retention             GET   sign-in    sign-in  403       200        200     200     200       200
retention             POST  sign-in    sign-in  405       405        405     405     405       405
keep-runs             GET   sign-in    sign-in  405       405        405     405     405       405
keep-runs             POST  sign-in    sign-in  403       >!         >!      403     >!        >!     retention
run-groups            GET   sign-in    sign-in  404       404        200     200     200       200
run-groups            POST  sign-in    sign-in  405       405        405     405     405       405
run-diff              GET   sign-in    sign-in  404       404        200     200     200       200
run-diff              POST  sign-in    sign-in  405       405        405     405     405       405
run-matrix            GET   sign-in    sign-in  404       404        200     200     200       200
run-matrix            POST  sign-in    sign-in  405       405        405     405     405       405
run-matrix-data       GET   sign-in    sign-in  404       404        200     200     200       200
run-matrix-data       POST  sign-in    sign-in  405       405        405     405     405       405
run-combined          GET   sign-in    sign-in  404       404        200     200     200       200
run-combined          POST  sign-in    sign-in  405       405        405     405     405       405
run-combined-text     GET   sign-in    sign-in  404       404        200     200     200       200
run-combined-text     POST  sign-in    sign-in  405       405        405     405     405       405
run-search            GET   sign-in    sign-in  404       404        200     200     200       200
run-search            POST  sign-in    sign-in  405       405        405     405     405       405
run-lines             GET   sign-in    sign-in  404       404        200     200     200       200
run-lines             POST  sign-in    sign-in  405       405        405     405     405       405
search-history        GET   sign-in    sign-in  200       200        200     200     200       200
search-history        POST  sign-in    sign-in  405       405        405     405     405       405
save-filter           GET   sign-in    sign-in  405       405        405     405     405       405
save-filter           POST  sign-in    sign-in  403       >!         >!      >!      >!        >!     runs
delete-filter         GET   sign-in    sign-in  405       405        405     405     405       405
delete-filter         POST  sign-in    sign-in  404       404        404     404     404       404
instance-commands     GET   sign-in    sign-in  404       404        200     200     200       200
instance-commands     POST  sign-in    sign-in  405       405        405     405     405       405

saved-commands        GET   sign-in    sign-in  403       200        200     200     200       200
saved-commands        POST  sign-in    sign-in  405       405        405     405     405       405
saved-command         GET   sign-in    sign-in  403       200        200     200     200       200
saved-command         POST  sign-in    sign-in  405       405        405     405     405       405
saved-command-diff    GET   sign-in    sign-in  403       200        200     200     200       200
saved-command-diff    POST  sign-in    sign-in  405       405        405     405     405       405
new-saved-command     GET   sign-in    sign-in  403       200        200     403     200       200
new-saved-command     POST  sign-in    sign-in  403       >!         >!      403     >!        >!     saved-command
edit-saved-command    GET   sign-in    sign-in  403       200        200     403     200       200
edit-saved-command    POST  sign-in    sign-in  403       >!         >!      403     >!        >!     saved-command
restore-saved-command GET   sign-in    sign-in  405       405        405     405     405       405
restore-saved-command POST  sign-in    sign-in  403       >!         >!      403     >!        >!     saved-command
archive-saved-command GET   sign-in    sign-in  405       405        405     405     405       405
archive-saved-command POST  sign-in    sign-in  403       >!         >!      403     >!        >!     saved-command
import-saved-commands GET   sign-in    sign-in  403       200        200     403     200       200
import-saved-commands POST  sign-in    sign-in  403       >!         >!      403     >!        >!     saved-commands
export-saved-commands GET   sign-in    sign-in  403       200        200     200     200       200
export-saved-commands POST  sign-in    sign-in  405       405        405     405     405       405
add-starter-commands  GET   sign-in    sign-in  405       405        405     405     405       405
add-starter-commands  POST  sign-in    sign-in  403       >!         >!      403     >!        >!     saved-commands
delete-saved-command  GET   sign-in    sign-in  405       405        405     405     405       405
delete-saved-command  POST  sign-in    sign-in  403       >!         >!      403     >!        >!     saved-commands

sign-in               GET   200        200      >         >          >       >       >         >      home
sign-in               POST  422        422      >         >          >       >       >         >      home
sign-out              GET   405        405      405       405        405     405     405       405
sign-out              POST  >          >        >         >          >       >       >         >      sign-in
first-sign-in         GET   >          >        >         >          >       >       >         >      choose-password
first-sign-in         POST  405        405      405       405        405     405     405       405
choose-password       GET   410        410      410       410        410     410     410       410
choose-password       POST  410        410      410       410        410     410     410       410
account               GET   sign-in    sign-in  200       200        200     200     200       200
account               POST  sign-in    sign-in  422       422        422     422     422       422
sign-out-everywhere   GET   sign-in    sign-in  405       405        405     405     405       405
sign-out-everywhere   POST  >          >        >!        >!         >!      >!      >!        >!     sign-in
people                GET   sign-in    sign-in  403       403        403     403     403       200
people                POST  sign-in    sign-in  405       405        405     405     405       405
add-member            GET   sign-in    sign-in  405       405        405     405     405       405
add-member            POST  sign-in    sign-in  403       403        403     403     403       200!
change-member         GET   sign-in    sign-in  405       405        405     405     405       405
change-member         POST  sign-in    sign-in  403       403        403     403     403       >!     people

remove-demo           GET   sign-in    sign-in  405       405        405     405     405       405
remove-demo           POST  sign-in    sign-in  403       403        403     403     403       >!     home

add-instance          GET   sign-in    sign-in  403       200        200     403     403       200
add-instance          POST  sign-in    sign-in  403       422        >!      403     403       >!     instance
jump-hosts            GET   sign-in    sign-in  403       200        200     403     403       200
jump-hosts            POST  sign-in    sign-in  405       405        405     405     405       405
import-instances      GET   sign-in    sign-in  403       200        200     403     403       200
import-instances      POST  sign-in    sign-in  403       422        >!      403     403       >!     home
paste-instances       GET   sign-in    sign-in  403       200        200     403     403       200
paste-instances       POST  sign-in    sign-in  403       422        >!      403     403       >!     home
instance              GET   sign-in    sign-in  404       404        200     200     200       200
instance              POST  sign-in    sign-in  405       405        405     405     405       405
edit-instance         GET   sign-in    sign-in  404       404        200     403     403       200
edit-instance         POST  sign-in    sign-in  404       404        >!      403     403       >!     instance
check-instance        GET   sign-in    sign-in  405       405        405     405     405       405
check-instance        POST  sign-in    sign-in  404       404        >!      403     >!        >!     instance
check-instances       GET   sign-in    sign-in  405       405        405     405     405       405
check-instances       POST  sign-in    sign-in  403       >          >!      403     >!        >!     home
test-connections      GET   sign-in    sign-in  403       200        200     403     200       200
test-connections      POST  sign-in    sign-in  403       home       >!      403     >!        >!     test-connections
disable-instance      GET   sign-in    sign-in  405       405        405     405     405       405
disable-instance      POST  sign-in    sign-in  404       404        >!      403     403       >!     instance
disable-instances     GET   sign-in    sign-in  405       405        405     405     405       405
disable-instances     POST  sign-in    sign-in  403       >          >!      403     403       >!     home
enable-instance       GET   sign-in    sign-in  405       405        405     405     405       405
enable-instance       POST  sign-in    sign-in  404       404        >!      403     403       >!     instance
enable-instances      GET   sign-in    sign-in  405       405        405     405     405       405
enable-instances      POST  sign-in    sign-in  403       >          >!      403     403       >!     home
delete-instance       GET   sign-in    sign-in  405       405        405     405     405       405
delete-instance       POST  sign-in    sign-in  403       404        >!      403     403       >!     home
delete-instances      GET   sign-in    sign-in  405       405        405     405     405       405
delete-instances      POST  sign-in    sign-in  403       >          >!      403     403       >!     home
send-to-instances     GET   sign-in    sign-in  405       405        405     405     405       405
send-to-instances     POST  sign-in    sign-in  home      home       >       >       >         >      send

groups                GET   sign-in    sign-in  403       200        200     403     403       200
groups                POST  sign-in    sign-in  403       403        403     403     403       >!     groups
change-group          GET   sign-in    sign-in  405       405        405     405     405       405
change-group          POST  sign-in    sign-in  404       404        >!      403     403       >!     groups
delete-group          GET   sign-in    sign-in  405       405        405     405     405       405
delete-group          POST  sign-in    sign-in  404       404        >!      403     403       >!     groups
select-group          GET   sign-in    sign-in  405       405        405     405     405       405
select-group          POST  sign-in    sign-in  404       404        >!      >!      >!        >!     home

credentials           GET   sign-in    sign-in  403       403        403     403     403       200
credentials           POST  sign-in    sign-in  405       405        405     405     405       405
add-credential        GET   sign-in    sign-in  403       403        403     403     403       200
add-credential        POST  sign-in    sign-in  403       403        403     403     403       >!     edit-credential
attach-credential     GET   sign-in    sign-in  403       403        403     403     403       200
attach-credential     POST  sign-in    sign-in  403       403        403     403     403       >!     credentials
resume-credential     GET   sign-in    sign-in  405       405        405     405     405       405
resume-credential     POST  sign-in    sign-in  404       404        >!      404     >!        >!     credentials
edit-credential       GET   sign-in    sign-in  403       403        403     403     403       200
edit-credential       POST  sign-in    sign-in  403       403        403     403     403       >!     credentials
delete-credential     GET   sign-in    sign-in  403       403        403     403     403       200
delete-credential     POST  sign-in    sign-in  403       403        403     403     403       >!     credentials

authorise             GET   sign-in    sign-in  403       403        403     403     403       200
authorise             POST  sign-in    sign-in  403       403        403     403     403       >!     authorisation
take-away-key         GET   sign-in    sign-in  403       403        403     403     403       200
take-away-key         POST  sign-in    sign-in  403       403        403     403     403       >!     authorisation
authorisation         GET   sign-in    sign-in  403       403        403     403     403       200
authorisation         POST  sign-in    sign-in  405       405        405     405     405       405
make-key-pair         GET   sign-in    sign-in  403       403        403     403     403       200
make-key-pair         POST  sign-in    sign-in  403       403        403     403     403       >!     public-key
public-key            GET   sign-in    sign-in  403       403        403     403     403       200
public-key            POST  sign-in    sign-in  405       405        405     405     405       405

sessions              GET   sign-in    sign-in  403       200        200     403     200       200
sessions              POST  sign-in    sign-in  405       405        405     405     405       405
open-sessions         GET   sign-in    sign-in  403       200        200     403     200       200
open-sessions         POST  sign-in    sign-in  403       422        >!      403     >!        >!     sessions
close-sessions        GET   sign-in    sign-in  405       405        405     405     405       405
close-sessions        POST  sign-in    sign-in  403       >          >!      403     >         >!     sessions
send-to-sessions      GET   sign-in    sign-in  405       405        405     405     405       405
send-to-sessions      POST  sign-in    sign-in  403       sessions   >       403     sessions  >      send
instance-sessions     GET   sign-in    sign-in  403       404        200     403     200       200
instance-sessions     POST  sign-in    sign-in  405       405        405     405     405       405
open-terminal         GET   sign-in    sign-in  405       405        405     405     405       405
open-terminal         POST  sign-in    sign-in  404       404        >!      403     >!        >!     terminal
terminal              GET   sign-in    sign-in  404       404        200     404     404       200
terminal              POST  sign-in    sign-in  405       405        405     405     405       405
close-session         GET   sign-in    sign-in  405       405        405     405     405       405
close-session         POST  sign-in    sign-in  404       404        >!      404     404       >!     instance
recordings            GET   sign-in    sign-in  200       200        200     200     200       200
recordings            POST  sign-in    sign-in  405       405        405     405     405       405
recording             GET   sign-in    sign-in  404       404        200     404     404       200
recording             POST  sign-in    sign-in  405       405        405     405     405       405
recording-cast        GET   sign-in    sign-in  404       404        200!    404     404       200!
recording-cast        POST  sign-in    sign-in  405       405        405     405     405       405
download-recording    GET   sign-in    sign-in  404       404        200!    404     404       200!
download-recording    POST  sign-in    sign-in  405       405        405     405     405       405
delete-recording      GET   sign-in    sign-in  405       405        405     405     405       405
delete-recording      POST  sign-in    sign-in  404       404        >!      404     404       >!     recordings
send-file             GET   sign-in    sign-in  403       200        200     403     200       200
send-file             POST  sign-in    sign-in  403       422        >!      403     >!        >!     transfer
fetch-file            GET   sign-in    sign-in  403       200        200     403     200       200
fetch-file            POST  sign-in    sign-in  403       422        >!      403     >!        >!     transfer
transfer              GET   sign-in    sign-in  403       404        200     403     200       200
transfer              POST  sign-in    sign-in  405       405        405     405     405       405
fetched-file          GET   sign-in    sign-in  403       404        200     403     200       200
fetched-file          POST  sign-in    sign-in  405       405        405     405     405       405

schedules             GET   sign-in    sign-in  403       200        200     200     200       200
schedules             POST  sign-in    sign-in  405       405        405     405     405       405
add-schedule          GET   sign-in    sign-in  403       >          >       403     >         >      send
add-schedule          POST  sign-in    sign-in  403       422        >!      403     >!        >!     schedule
preview-schedule      GET   sign-in    sign-in  403       200        200     403     200       200
preview-schedule      POST  sign-in    sign-in  405       405        405     405     405       405
schedule              GET   sign-in    sign-in  404       404        404     404     404       200
schedule              POST  sign-in    sign-in  405       405        405     405     405       405
edit-schedule         GET   sign-in    sign-in  404       404        404     404     404       403
edit-schedule         POST  sign-in    sign-in  404       404        404     404     404       403
pause-schedule        GET   sign-in    sign-in  405       405        405     405     405       405
pause-schedule        POST  sign-in    sign-in  404       404        404     404     404       >!     schedule
resume-schedule       GET   sign-in    sign-in  405       405        405     405     405       405
resume-schedule       POST  sign-in    sign-in  404       404        404     404     404       >!     schedule
run-schedule          GET   sign-in    sign-in  405       405        405     405     405       405
run-schedule          POST  sign-in    sign-in  404       404        404     404     404       403
delete-schedule       GET   sign-in    sign-in  405       405        405     405     405       405
delete-schedule       POST  sign-in    sign-in  404       404        404     404     404       >!     schedules

host-keys             GET   sign-in    sign-in  403       200        200     403     403       200
host-keys             POST  sign-in    sign-in  405       405        405     405     405       405
trust-host-keys       GET   sign-in    sign-in  405       405        405     405     405       405
trust-host-keys       POST  sign-in    sign-in  403       422        >!      403     403       >!     host-keys
forget-host-key       GET   sign-in    sign-in  405       405        405     405     405       405
forget-host-key       POST  sign-in    sign-in  404       404        >!      404     404       >!     host-keys
import-known-hosts    GET   sign-in    sign-in  403       200        200     403     403       200
import-known-hosts    POST  sign-in    sign-in  403       422        >!      403     403       >!     host-keys
host-authorities      GET   sign-in    sign-in  403       200        200     403     403       200
host-authorities      POST  sign-in    sign-in  403       422        >!      403     403       >!     host-authorities
remove-host-authority GET   sign-in    sign-in  405       405        405     405     405       405
remove-host-authority POST  sign-in    sign-in  404       404        >!      404     404       >!     host-authorities
revoked-keys          GET   sign-in    sign-in  403       200        200     403     403       200
revoked-keys          POST  sign-in    sign-in  403       422        >!      403     403       >!     revoked-keys
restore-key           GET   sign-in    sign-in  405       405        405     405     405       405
restore-key           POST  sign-in    sign-in  404       404        >!      404     404       >!     revoked-keys

notifications         GET   sign-in    sign-in    403       403        403     403     403       200
notifications         POST  sign-in    sign-in    405       405        405     405     405       405
notices               GET   sign-in    sign-in    403       403        403     403     403       200
notices               POST  sign-in    sign-in    405       405        405     405     405       405
add-destination       GET   sign-in    sign-in    403       403        403     403     403       200
add-destination       POST  sign-in    sign-in    403       403        403     403     403       >!     notifications
destination           GET   sign-in    sign-in    403       403        403     403     403       200
destination           POST  sign-in    sign-in    403       403        403     403     403       >!     notifications
delete-destination    GET   sign-in    sign-in    405       405        405     405     405       405
delete-destination    POST  sign-in    sign-in    403       403        403     403     403       >!     notifications
new-secret            GET   sign-in    sign-in    405       405        405     405     405       405
new-secret            POST  sign-in    sign-in    403       403        403     403     403       >!     destination
test-destination      GET   sign-in    sign-in    405       405        405     405     405       405
test-destination      POST  sign-in    sign-in    403       403        403     403     403       >!     notices
try-notice-again      GET   sign-in    sign-in    405       405        405     405     405       405
try-notice-again      POST  sign-in    sign-in    403       403        403     403     403       >!     notices
"""
# What an obeyed request leaves in the record; None for a personal setting, which is not recorded.
AUDIT = {
    "send": "run.send",
    "stop-run": "run.stop",
    "answer-run": "run.continue",
    "recheck-run": "run.recheck",
    "keep-runs": "saved_command.keep_runs",
    "new-saved-command": "saved_command.keep",
    "edit-saved-command": "saved_command.change",
    "restore-saved-command": "saved_command.restore",
    "archive-saved-command": "saved_command.archive",
    "import-saved-commands": "saved_command.keep",
    "add-starter-commands": "saved_command.keep",
    "save-filter": "history.save_filter",
    "delete-saved-command": "saved_command.delete",
    "sign-out-everywhere": "sign_out_everywhere",
    "add-member": "add_member",
    "change-member": "change_role",
    "remove-demo": "remove_demo",
    "add-instance": "add_instance",
    "paste-instances": "add_instances",
    "import-instances": "add_instances",
    "edit-instance": "change_instance",
    "check-instance": "check_instances",
    "check-instances": "check_instances",
    "test-connections": "check_instances",
    "disable-instance": "disable_instances",
    "disable-instances": "disable_instances",
    "enable-instance": "enable_instances",
    "enable-instances": "enable_instances",
    "delete-instance": "delete_instances",
    "delete-instances": "delete_instances",
    "groups": "add_group",
    "change-group": "change_group",
    "delete-group": "delete_group",
    "add-credential": "add_credential",
    "attach-credential": "attach_credential",
    "resume-credential": "resume_credential",
    "edit-credential": "change_credential",
    "delete-credential": "delete_credential",
    "authorise": "authorise_key",
    "take-away-key": "take_key_away",
    "make-key-pair": "add_credential",
    "open-sessions": "open_shell",
    "close-sessions": "close_session",
    "open-terminal": "open_terminal",
    "close-session": "close_session",
    "recording-cast": "watch_recording",
    "download-recording": "watch_recording",
    "delete-recording": "delete_recording",
    "send-file": "send_file",
    "fetch-file": "fetch_file",
    "add-schedule": "schedule.add",
    "pause-schedule": "schedule.pause",
    "resume-schedule": "schedule.resume",
    "delete-schedule": "schedule.delete",
    "trust-host-keys": "trust_host_key",
    "forget-host-key": "forget_host_key",
    "import-known-hosts": "import_known_hosts",
    "host-authorities": "trust_host_authority",
    "remove-host-authority": "remove_host_authority",
    "revoked-keys": "revoke_host_key",
    "restore-key": "restore_host_key",
    "select-group": None,
    "add-destination": "destination.add",
    "destination": "destination.change",
    "delete-destination": "destination.delete",
    "new-secret": "destination.new_secret",
    "test-destination": "destination.test",
    "try-notice-again": "notice.try_again",
}
HEADER, *ROWS = [line.split() for line in TABLE.splitlines() if line]
EXPECTED = {(row[0], row[1]): dict(zip(ACTORS, row[2:10], strict=True)) for row in ROWS}
TO = {(row[0], row[1]): row[10] for row in ROWS if len(row) > 10}
