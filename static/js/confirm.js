// Asks before a form, or by a button of it, with data-confirm is sent. Without scripts such a form is sent at once.
import {find} from "./dom.js";

export function startConfirm() {
  const dialog = find("#confirm");
  let asked = null;
  let isAgreed = false;
  // Capturing: before htmx, which listens on the form itself.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    const asking = event.submitter?.dataset.confirm ? event.submitter : form;
    if (!asking.dataset.confirm || isAgreed) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    asked = {form, submitter: event.submitter};
    find("#confirm-question").textContent = asking.dataset.confirm;
    find("[data-confirm-yes]", dialog).textContent = asking.dataset.confirmYes ?? "Yes";
    dialog.returnValue = "no";
    dialog.showModal();
  }, true);
  dialog.addEventListener("close", () => {
    if (dialog.returnValue !== "yes" || !asked) return;
    // A socket frame may have redrawn the form meanwhile; the one that is there now does the same.
    const form = asked.form.isConnected ? asked.form : find(`form[action="${asked.form.getAttribute("action")}"][data-confirm]`);
    isAgreed = true;
    form?.requestSubmit(form.contains(asked.submitter) ? asked.submitter : null);
    isAgreed = false;
  });
}
