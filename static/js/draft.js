// What was entered in the Send Command form, kept in the tab: it outlives a lost sign-in. Secret values are not kept.
import {find, findAll, tabStore} from "./dom.js";
import {enterParameters, parameterValues, useParameters} from "./parameters.js";

const OPTION_FIELDS = ["run_as", "environment", "arguments", "script_name", "interpreter", "working_directory", "timeout_s", "max_concurrency", "max_errors", "stop_at_cap",
  "ignore_unreachable", "first", "ask_unless_ok", "batch_size", "batch_pause_s", "ask_between", "connect_attempts", "connect_delay_s"];
const WINDOWS_FIELDS = ["windows_command", "windows_type", "windows_interpreter", "windows_directory"];
const DRAFT_FIELDS = ["command", "saved_version", "command_type", ...OPTION_FIELDS, ...WINDOWS_FIELDS];

// Values whose fields are still being fetched.
let awaited = {};

export function keepDraft(form) {
  const fields = Object.fromEntries(DRAFT_FIELDS.map((name) => [name, form.elements[name].value]));
  const told = {to: findAll("[name=notify_to]:checked", form).map(({value}) => value), when: find("[name=notify_when]", form)?.value};
  tabStore.write("draft", {fields, told, parameters: {...awaited, ...parameterValues()}});
}

export async function restoreDraft(form) {
  const {fields, told, parameters} = tabStore.read("draft") ?? {};
  if (!fields) return;
  // Asked for before the version is in its field, which says that its parameters are there.
  const asked = useParameters(fields.saved_version);
  for (const [name, value] of Object.entries(fields)) form.elements[name].value = value;
  for (const box of findAll("[name=notify_to]", form)) box.checked = told.to.includes(box.value);
  const when = find("[name=notify_when]", form);
  if (when && told.when) when.value = told.when;
  awaited = parameters;
  await asked;
  enterParameters(awaited);
  awaited = {};
}
