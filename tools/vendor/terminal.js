// What the terminal page and the recording player use of xterm.js. Bundled by build.sh into static/vendor/xterm.js,
// an ES module. Add-ons that reach out of the terminal (clipboard, web links, images) are left out on purpose.
export {Terminal} from "@xterm/xterm";
export {FitAddon} from "@xterm/addon-fit";
export {SearchAddon} from "@xterm/addon-search";
export {Unicode11Addon} from "@xterm/addon-unicode11";
