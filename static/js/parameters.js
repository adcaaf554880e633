// The parameters of a saved command in the Send Command form: asked for when one is chosen.
import {find, onAct} from "./dom.js";

const place = () => find("#send-parameters");

/** Let the form be about a version of a saved command, with the fields for its parameters; "" for none. */
export function useParameters(version = "") {
  const field = place()?.querySelector("[name=saved_version]");
  if (!field || field.value === version) return;
  field.value = version;
  const address = `${place().dataset.parameters}?${new URLSearchParams({saved_version: version})}`;
  htmx.ajax("GET", address, {source: place(), target: "#send-parameters", swap: "outerHTML"});
}

/** Forget the values of secret ones: they are asked for again. */
export function forgetSecrets() {
  for (const field of place()?.querySelectorAll("[type=password]") ?? []) field.value = "";
}

export function startParameters() {
  onAct("parameters-drop", () => useParameters(""));
}
