// Puts what stands behind the # of the address into the form's field, and takes it out of the address bar: secrets
// in a fragment reach no server log, and should reach no shared screen either. Without this, they are typed in.
const field = document.querySelector("input[data-fragment]");
if (field && location.hash.length > 1) {
  field.value = decodeURIComponent(location.hash.slice(1));
  history.replaceState(null, "", location.pathname + location.search);
}
