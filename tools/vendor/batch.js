// Highlighting of Windows batch files for CodeMirror; none is published for version 6.
const KEYWORDS = new RegExp(
  "^(?:call|cd|chdir|cls|copy|defined|del|dir|do|echo|else|endlocal|equ|erase|errorlevel|exist|exit|for|geq|goto|" +
    "gtr|if|in|leq|lss|md|mkdir|move|neq|not|path|pause|popd|pushd|rd|ren|rename|rmdir|set|setlocal|shift|start|" +
    "title|type|ver|xcopy)$",
  "i",
);

export const batch = {
  name: "batch",
  // Comments and labels only count where a command may begin.
  startState: () => ({atCommand: true}),
  token(stream, state) {
    if (stream.sol()) state.atCommand = true;
    if (stream.eatSpace()) return null;
    if (state.atCommand && stream.match(/^@?rem\b.*|^::.*/i)) return "comment";
    const atCommand = state.atCommand;
    state.atCommand = false;
    if (atCommand && stream.match(/^:[^\s:]+/)) return "labelName";
    if (stream.match(/^%%?~?[A-Za-z0-9_]+%?|^![^!\s]+!|^%\*/)) return "variableName";
    if (stream.match(/^"[^"]*"?/)) return "string";
    if (stream.match(/^[&|<>()]+/)) {
      state.atCommand = true;
      return "operator";
    }
    if (stream.match(/^\d+\b/)) return "number";
    if (stream.match(/^\/[A-Za-z?]+/)) return "attributeName";
    const word = stream.match(/^@?[A-Za-z_][\w.-]*/);
    if (word) return KEYWORDS.test(word[0].replace("@", "")) ? "keyword" : null;
    stream.next();
    return null;
  },
  languageData: {commentTokens: {line: "rem "}},
};
