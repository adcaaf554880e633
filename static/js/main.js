// Starts the page's behaviours. Each is a module of its own and finds what it needs in the page.
import {startConfirm} from "./confirm.js";
import {startKeys} from "./keys.js";
import {startMatrix} from "./matrix.js";
import {startPanel} from "./panel.js";
import {startPressed} from "./pressed.js";
import {startResults} from "./results.js";
import {startRun} from "./run.js";
import {startSchedules} from "./schedules.js";
import {startRunRows} from "./run-rows.js";
import {startSelection} from "./selection.js";
import {startSend} from "./send.js";
import {startSessionRows} from "./session-rows.js";
import {startSessionSend} from "./session-send.js";
import {startShell} from "./shell.js";
import {startTicks} from "./ticks.js";
import {startToasts} from "./toasts.js";

startShell();
startPressed();
startToasts();
startConfirm();
startSelection();
startSend();
startPanel();
startRun();
startResults();
startMatrix();
startSchedules();
startRunRows();
startSessionRows();
startSessionSend();
startKeys();
startTicks();
// What this page can do now; a robot that is quicker than the scripts waits for it.
document.documentElement.dataset.scripts = "on";
