// The command editor: CodeMirror 6 put over a textarea, which stays the form field. Bundled by build.sh
// into static/vendor/editor.js as window.ShellEditor.
import {EditorState, Compartment} from "@codemirror/state";
import {EditorView, keymap, lineNumbers, highlightActiveLine, highlightSpecialChars, drawSelection} from "@codemirror/view";
import {defaultKeymap, history, historyKeymap} from "@codemirror/commands";
import {StreamLanguage, syntaxHighlighting, HighlightStyle, bracketMatching} from "@codemirror/language";
import {tags} from "@lezer/highlight";
import {shell} from "@codemirror/legacy-modes/mode/shell";
import {powerShell} from "@codemirror/legacy-modes/mode/powershell";
import {batch} from "./batch.js";

const LANGUAGES = {
  shell: StreamLanguage.define(shell),
  powershell: StreamLanguage.define(powerShell),
  bat: StreamLanguage.define(batch),
};

// Classes instead of colours: css/components.css owns both themes.
const HIGHLIGHT = HighlightStyle.define([
  {tag: tags.keyword, class: "tok-keyword"},
  {tag: tags.comment, class: "tok-comment"},
  {tag: [tags.string, tags.special(tags.string)], class: "tok-string"},
  {tag: tags.number, class: "tok-number"},
  {tag: [tags.variableName, tags.definition(tags.variableName)], class: "tok-variable"},
  {tag: tags.operator, class: "tok-operator"},
  {tag: tags.labelName, class: "tok-label"},
  {tag: tags.attributeName, class: "tok-attribute"},
  {tag: tags.standard(tags.variableName), class: "tok-builtin"},
]);

/**
 * Type over a selection without the browser's own editing: Chromium keeps the look of the replaced text by inserting
 * style attributes, which the content security policy blocks and reports.
 */
function replaceSelection(event, view) {
  if (event.inputType !== "insertText" || !event.data || view.state.selection.main.empty) return false;
  event.preventDefault();
  view.dispatch(view.state.replaceSelection(event.data), {userEvent: "input.type", scrollIntoView: true});
  return true;
}

/**
 * Put an editor over a textarea and return its handle {focus, setLanguage, setValue, getValue}.
 *
 * The textarea is hidden and follows every change with an input event. Tab is left to the browser, so that the
 * editor can be left by keyboard; Ctrl+Enter (Cmd+Enter on a Mac) submits the form.
 */
export function enhance(textarea, {nonce = "", language = "shell", describedBy = ""} = {}) {
  const chosen = new Compartment();
  const languageOf = (name) => LANGUAGES[name] ?? [];
  const label = textarea.getAttribute("aria-label") || textarea.labels?.[0]?.textContent.trim() || "Command";
  const host = document.createElement("div");
  host.className = "editor";
  textarea.after(host);
  textarea.hidden = true;
  const view = new EditorView({
    parent: host,
    state: EditorState.create({
      doc: textarea.value,
      extensions: [
        lineNumbers(),
        highlightSpecialChars(),
        history(),
        drawSelection(),
        bracketMatching(),
        highlightActiveLine(),
        EditorView.lineWrapping,
        nonce ? EditorView.cspNonce.of(nonce) : [],
        syntaxHighlighting(HIGHLIGHT),
        chosen.of(languageOf(language)),
        EditorView.contentAttributes.of({
          "aria-label": label,
          "aria-multiline": "true",
          ...(describedBy ? {"aria-describedby": describedBy} : {}),
          spellcheck: "false",
          autocapitalize: "off",
        }),
        keymap.of([
          {key: "Mod-Enter", run: () => (textarea.form?.requestSubmit(), true)},
          ...defaultKeymap,
          ...historyKeymap,
        ]),
        EditorView.domEventHandlers({beforeinput: replaceSelection}),
        EditorView.updateListener.of((update) => {
          if (!update.docChanged) return;
          textarea.value = update.state.doc.toString();
          textarea.dispatchEvent(new Event("input", {bubbles: true}));
        }),
      ],
    }),
  });
  return {
    focus: () => view.focus(),
    getValue: () => view.state.doc.toString(),
    setLanguage: (name) => view.dispatch({effects: chosen.reconfigure(languageOf(name))}),
    setValue: (text) =>
      view.dispatch({changes: {from: 0, to: view.state.doc.length, insert: text}, selection: {anchor: text.length}}),
  };
}
