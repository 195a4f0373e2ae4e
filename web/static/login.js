/* The link that `reid serve --token` prints ends in #code=...: a browser sends that part to nobody. It
   is taken out of the address and put into the form, which a person sends: no other site signs
   anybody in by leading here. */
"use strict";

const code = new URLSearchParams(location.hash.slice(1)).get("code");

if (code) {
  history.replaceState(null, "", location.pathname + location.search);
  document.getElementById("code").value = code;
  document.getElementById("by-token").hidden = true;
  document.getElementById("token").disabled = true;
  document.getElementById("by-link").hidden = false;
  document.querySelector("form.stack button").focus();
}
