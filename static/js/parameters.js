// The parameters of a saved command in the Send Command form: asked for when one is chosen.
import {find, onAct} from "./dom.js";

const place = () => find("#send-parameters");

/** Let the form be about a version of a saved command; resolves once the fields for its parameters are there; "" for none. */
export async function useParameters(version = "") {
  const field = place()?.querySelector("[name=saved_version]");
  if (!field || field.value === version) return;
  field.value = version;
  const address = `${place().dataset.parameters}?${new URLSearchParams({saved_version: version})}`;
  await htmx.ajax("GET", address, {source: place(), target: "#send-parameters", swap: "outerHTML"});
}

const openFields = () => [...place()?.querySelectorAll("[name^=param_]:not([type=password])") ?? []];

/** The values that are not secret, by field. */
export const parameterValues = () => Object.fromEntries(openFields().map(({name, value}) => [name, value]));

/** Enter such values again where their fields are still asked for. */
export function enterParameters(values) {
  for (const field of openFields()) if (field.name in values) field.value = values[field.name];
}

/** Forget the values of secret ones: they are asked for again. */
export function forgetSecrets() {
  for (const field of place()?.querySelectorAll("[type=password]") ?? []) field.value = "";
}

export function startParameters() {
  onAct("parameters-drop", () => useParameters(""));
}
