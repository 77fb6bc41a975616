/* SPDX-License-Identifier: ISC */
/* tty.c: curses knows the terminal; mouse reports and pastes are taken apart here. */
#define NCURSES_WIDECHAR 1
#include "tui/tty.h"

#include <curses.h>
#include <fcntl.h>
#include <langinfo.h>
#include <limits.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "common/clock.h"

enum {
	PASTE_BEGIN = KEY_MAX + 1,
	PASTE_END,
	FOCUS_IN,
	FOCUS_OUT,
	PASTE_MAX = 64 * 1024,
	COPY_MAX = 8 * 1024,
	DOUBLE_MS = 350,
	ESCAPE_MS = 25,
	TEXT_MAX = 64
};

static struct {
	SCREEN *screen;
	FILE *file;
	int fd;
	bool ascii, colours, few, mouse, open, left;
	struct grid last; /* what is on the screen; no cells: nothing known */
	struct termios modes;
	char end[TEXT_MAX]; /* what ends the full screen, for a crash */
	char *paste;
	size_t paste_len;
	bool pasting;
	uint64_t clicked;
	int clicked_row;
} tty = {.fd = -1};

static void send(const char *text)
{
	fputs(text, tty.file);
	fflush(tty.file);
}

/* Async-signal-safe: the terminal is usable again, then the signal does what it does. */
static void on_crash(int signo)
{
	if (tty.open && !tty.left) {
		(void)!write(tty.fd, "\033[?2004l\033[?1000l\033[?1006l", 22);
		(void)!write(tty.fd, tty.end, strlen(tty.end));
		(void)tcsetattr(tty.fd, TCSANOW, &tty.modes);
	}
	(void)raise(signo); /* SA_RESETHAND: the default now */
}

static void catch_crashes(void)
{
	static const int signals[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};
	struct sigaction action = {.sa_handler = on_crash, .sa_flags = SA_RESETHAND};

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		(void)sigaction(signals[i], &action, NULL);
}

/* The terminal's own name first; what most terminals understand when it is not known here. */
static SCREEN *open_screen(void)
{
	static const char *const others[] = {"xterm-256color", "xterm", "vt100"};
	SCREEN *screen = newterm(NULL, tty.file, tty.file);

	for (size_t i = 0; !screen && i < ARRAY_SIZE(others); i++)
		screen = newterm(others[i], tty.file, tty.file);
	return screen;
}

static void take_end_strings(void)
{
	static const char *const names[] = {"sgr0", "rmcup", "cnorm"};
	size_t len = 0;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *s = tigetstr(names[i]);

		if (s && s != (char *)-1 && len + strlen(s) < sizeof(tty.end))
			len += (size_t)snprintf(tty.end + len, sizeof(tty.end) - len, "%s", s);
	}
}

static void set_colours(const struct tty_options *options)
{
	static const short foregrounds[LOOK_MAX_] = {[LOOK_PLAIN] = -1,
		[LOOK_DIM] = -1,
		[LOOK_BOLD] = -1,
		[LOOK_TITLE] = COLOR_CYAN,
		[LOOK_GOOD] = COLOR_GREEN,
		[LOOK_BUSY] = COLOR_YELLOW,
		[LOOK_BAD] = COLOR_RED,
		[LOOK_ACCENT] = COLOR_CYAN};

	tty.colours = !options->no_colour && has_colors() && start_color() != ERR &&
		      use_default_colors() != ERR;
	for (short look = 0; tty.colours && look < LOOK_MAX_; look++)
		init_pair((short)(look + 1), foregrounds[look], -1);
	tty.few = COLORS < 16;
}

static void define_keys(void)
{
	static const struct {
		const char *text;
		int key;
	} keys[] = {{"\033[200~", PASTE_BEGIN}, {"\033[201~", PASTE_END}, {"\033[I", FOCUS_IN},
		{"\033[O", FOCUS_OUT}, {"\033[1~", KEY_HOME}, {"\033[4~", KEY_END},
		{"\033[7~", KEY_HOME}, {"\033[8~", KEY_END}, {"\033[H", KEY_HOME},
		{"\033[F", KEY_END}, {"\033[A", KEY_UP}, {"\033[B", KEY_DOWN},
		{"\033[C", KEY_RIGHT}, {"\033[D", KEY_LEFT}, {"\033[Z", KEY_BTAB},
		{"\033[3~", KEY_DC}};

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		(void)define_key(keys[i].text, keys[i].key);
}

static void modes_on(void)
{
	send("\033[?2004h");
	tty_mouse(tty.mouse);
	(void)curs_set(0);
}

int tty_open(const struct tty_options *options, struct bg_err **err)
{
	tty.fd = open("/dev/tty", O_RDWR | O_CLOEXEC);
	tty.file = tty.fd < 0 ? NULL : fdopen(tty.fd, "r+e");
	if (!tty.file || tcgetattr(tty.fd, &tty.modes) < 0)
		return bg_err_set(err, BG_ERR_USAGE, ENOTTY, "banger tui needs a terminal");
	unsetenv("LINES");
	unsetenv("COLUMNS");
	tty.screen = open_screen();
	if (!tty.screen || !tigetstr("cup") || tigetstr("cup") == (char *)-1) {
		if (tty.screen)
			endwin();
		return bg_err_set(err, BG_ERR_USAGE, ENOTTY,
			"the terminal (TERM=%s) cannot place text",
			getenv("TERM") ? getenv("TERM") : "");
	}
	(void)set_term(tty.screen);
	tty.open = true;
	tty.ascii = options->ascii || strcmp(nl_langinfo(CODESET), "UTF-8") != 0;
	tty.mouse = !options->no_mouse;
	raw();
	noecho();
	nonl();
	intrflush(stdscr, FALSE);
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	if (!getenv("ESCDELAY"))
		set_escdelay(ESCAPE_MS);
	take_end_strings();
	set_colours(options);
	define_keys();
	modes_on();
	catch_crashes();
	return 0;
}

void tty_close(void)
{
	if (!tty.open)
		return;
	tty_leave();
	tty.open = false;
	delscreen(tty.screen);
	fclose(tty.file);
	grid_done(&tty.last);
	free(TAKE_PTR(tty.paste));
}

int tty_fd(void)
{
	return tty.fd;
}

bool tty_is_ascii(void)
{
	return tty.ascii;
}

void tty_size(int *rows, int *columns)
{
	struct winsize size = {0};

	if (ioctl(tty.fd, TIOCGWINSZ, &size) < 0 || size.ws_row == 0 || size.ws_col == 0)
		size = (struct winsize){
			.ws_row = (unsigned short)LINES, .ws_col = (unsigned short)COLS};
	if (size.ws_row != LINES || size.ws_col != COLS) {
		resizeterm(size.ws_row, size.ws_col);
		tty_forget();
	}
	*rows = size.ws_row;
	*columns = size.ws_col;
}

static enum input take_mouse(struct tty_input *ret)
{
	MEVENT event;
	bool again;

	if (getmouse(&event) == ERR)
		return INPUT_NONE;
	ret->row = event.y;
	ret->column = event.x;
	if (event.bstate & BUTTON4_PRESSED)
		ret->mouse = MOUSE_WHEEL_UP;
	else if (event.bstate & BUTTON5_PRESSED)
		ret->mouse = MOUSE_WHEEL_DOWN;
	else if (event.bstate & BUTTON3_PRESSED)
		ret->mouse = MOUSE_RIGHT;
	else if (event.bstate & BUTTON1_PRESSED) {
		again = event.y == tty.clicked_row && bg_now_ms() - tty.clicked < DOUBLE_MS;
		ret->mouse = again ? MOUSE_DOUBLE : MOUSE_CLICK;
		tty.clicked = again ? 0 : bg_now_ms();
		tty.clicked_row = event.y;
	} else
		return INPUT_NONE;
	return INPUT_MOUSE;
}

static void put_paste(wint_t c)
{
	char *more = tty.paste ? tty.paste : malloc(PASTE_MAX);
	mbstate_t state = {0};

	tty.paste = more;
	if (!more || tty.paste_len + MB_LEN_MAX >= PASTE_MAX)
		return;
	{
		size_t n = wcrtomb(more + tty.paste_len, (wchar_t)c, &state);

		tty.paste_len += n == (size_t)-1 ? 0 : n;
	}
	more[tty.paste_len] = '\0';
}

static int translate(wint_t c)
{
	static const struct {
		int from, to;
	} keys[] = {{KEY_UP, KEY_UP_}, {KEY_DOWN, KEY_DOWN_}, {KEY_LEFT, KEY_LEFT_},
		{KEY_RIGHT, KEY_RIGHT_}, {KEY_HOME, KEY_HOME_}, {KEY_END, KEY_END_},
		{KEY_PPAGE, KEY_PAGE_UP_}, {KEY_NPAGE, KEY_PAGE_DOWN_}, {KEY_DC, KEY_DELETE_},
		{KEY_BACKSPACE, KEY_BACKSPACE_}, {KEY_BTAB, KEY_BACK_TAB_}, {KEY_ENTER, KEY_ENTER_},
		{KEY_F(1), KEY_F1_}};

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if ((wint_t)keys[i].from == c)
			return keys[i].to;
	return KEY_UNKNOWN_;
}

/* A key that curses knows, and what else came in its place. */
static enum input take_code(wint_t c, struct tty_input *ret)
{
	if (c == KEY_MOUSE)
		return take_mouse(ret);
	if (c == KEY_RESIZE || c == FOCUS_IN)
		return INPUT_REPAINT;
	if (c == FOCUS_OUT)
		return INPUT_NONE;
	if (c == PASTE_BEGIN) {
		tty.pasting = true;
		tty.paste_len = 0;
		put_paste(L' ');
		tty.paste_len = 0;
		return INPUT_NONE;
	}
	ret->key = translate(c);
	return INPUT_KEY;
}

static enum input take_one(struct tty_input *ret, bool *more)
{
	wint_t c = 0;
	int r = get_wch(&c);

	*more = r != ERR;
	if (r == ERR)
		return INPUT_NONE;
	if (tty.pasting) {
		if (r == KEY_CODE_YES && c == PASTE_END) {
			tty.pasting = false;
			if (tty.paste)
				tty.paste[tty.paste_len] = '\0';
			ret->paste = tty.paste ? tty.paste : "";
			return INPUT_PASTE;
		}
		if (r != KEY_CODE_YES)
			put_paste(c);
		return INPUT_NONE;
	}
	if (r == KEY_CODE_YES)
		return take_code(c, ret);
	ret->key = c == 0x7f ? KEY_BACKSPACE_ : c == '\n' ? KEY_ENTER_ : (int)c;
	return INPUT_KEY;
}

enum input tty_next(struct tty_input *ret)
{
	enum input input;
	bool more;

	do {
		input = take_one(ret, &more);
	} while (more && input == INPUT_NONE);
	return input;
}

static attr_t attributes(uint8_t look)
{
	static const attr_t always[LOOK_MAX_] = {
		[LOOK_BOLD] = A_BOLD, [LOOK_TITLE] = A_BOLD, [LOOK_BAD] = A_BOLD};
	static const attr_t without[LOOK_MAX_] = {[LOOK_ACCENT] = A_BOLD};
	attr_t a = always[look & ~LOOK_REVERSE];

	if (!tty.colours)
		a |= without[look & ~LOOK_REVERSE];
	else if (look == LOOK_DIM && !tty.few)
		a |= A_DIM;
	return look & LOOK_REVERSE ? a | A_REVERSE : a;
}

static void show_row(const struct grid *g, int row)
{
	cchar_t *cells = calloc((size_t)g->columns + 1, sizeof(*cells));
	int n = 0;

	for (int i = 0; cells && i < g->columns; i++) {
		const struct cell *c = &g->cells[row * g->columns + i];
		wchar_t text[2] = {c->ch, L'\0'};

		if (c->width)
			(void)setcchar(&cells[n++], text, attributes(c->look),
				tty.colours ? (short)((c->look & ~LOOK_REVERSE) + 1) : 0, NULL);
	}
	if (cells)
		(void)mvadd_wchnstr(row, 0, cells, n);
	free(cells);
}

/* A copy of what is on the screen. */
static void remember(const struct grid *g)
{
	if (grid_reset(&tty.last, g->rows, g->columns) < 0) {
		grid_done(&tty.last);
		return;
	}
	memcpy(tty.last.cells, g->cells, (size_t)(g->rows * g->columns) * sizeof(*g->cells));
}

void tty_show(const struct grid *g)
{
	size_t row_bytes = (size_t)g->columns * sizeof(*g->cells);
	bool same_size =
		tty.last.cells && tty.last.rows == g->rows && tty.last.columns == g->columns;

	if (tty.left)
		return;
	for (int row = 0; row < g->rows; row++)
		if (!same_size || memcmp(&g->cells[row * g->columns],
					  &tty.last.cells[row * g->columns], row_bytes) != 0)
			show_row(g, row);
	(void)curs_set(g->cursor_row >= 0);
	if (g->cursor_row >= 0)
		move(g->cursor_row, BG_MIN(g->cursor_column, g->columns - 1));
	refresh();
	remember(g);
}

void tty_forget(void)
{
	grid_done(&tty.last);
	if (tty.open)
		clearok(curscr, TRUE);
}

void tty_leave(void)
{
	if (tty.left)
		return;
	send("\033[?2004l");
	mousemask(0, NULL);
	def_prog_mode();
	(void)curs_set(1);
	endwin();
	fflush(tty.file);
	tty.left = true;
}

void tty_return(void)
{
	int rows, columns;

	if (!tty.left)
		return;
	tty.left = false;
	reset_prog_mode();
	refresh();
	tty_size(&rows, &columns);
	tty_forget();
	modes_on();
	flushinp();
}

void tty_mouse(bool on)
{
	tty.mouse = on;
	mousemask(on ? BUTTON1_PRESSED | BUTTON3_PRESSED | BUTTON4_PRESSED | BUTTON5_PRESSED : 0,
		NULL);
	mouseinterval(0);
}

void tty_copy(const char *text)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t len = BG_MIN(strlen(text), (size_t)COPY_MAX);
	const unsigned char *s = (const unsigned char *)text;

	fputs("\033]52;c;", tty.file);
	for (size_t i = 0; i < len; i += 3) {
		uint32_t n = (uint32_t)s[i] << 16 | (i + 1 < len ? (uint32_t)s[i + 1] << 8 : 0) |
			     (i + 2 < len ? s[i + 2] : 0);

		fputc(digits[n >> 18], tty.file);
		fputc(digits[n >> 12 & 63], tty.file);
		fputc(i + 1 < len ? digits[n >> 6 & 63] : '=', tty.file);
		fputc(i + 2 < len ? digits[n & 63] : '=', tty.file);
	}
	send("\a");
}
