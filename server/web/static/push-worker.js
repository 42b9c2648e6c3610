// Shows what the house sends to this device, also while none of its pages is open. A message says that a tag was heard
// and never where; it was encrypted for this browser, and its push service could not read it.
addEventListener("push", (event) => {
  // A browser takes away the leave of a page that shows nothing.
  let said = { title: "News from Hearsight", body: "Open the page to read it.", url: "/", tag: "" };
  try {
    said = { ...said, ...event.data.json() };
  } catch {
    // Nothing, or nothing of ours.
  }
  event.waitUntil(registration.showNotification(said.title, {
    body: said.body, tag: said.tag, data: { url: said.url }, icon: "/static/icon.svg",
  }));
});

addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(open(event.notification.data.url));
});

async function open(address) {
  const url = new URL(address, location.origin);
  if (url.origin !== location.origin) url.href = location.origin; // we lead nowhere else
  const pages = await clients.matchAll({ type: "window", includeUncontrolled: true });
  const there = pages.find((page) => page.url === url.href);
  return there ? there.focus() : clients.openWindow(url.href);
}
