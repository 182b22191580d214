#!/usr/bin/perl
# Sends HTTP requests at a fixed rate, each on a new connection and started when it is due, whatever became of the last. Perl as Debian always has it.
# probe.pl ADDRESS PORT EVERY_MS TIMEOUT_MS: ends when its standard input does, and then prints one line as the lab's `probe http` does:
# sent=N ok=N failed=N outage_ms=N outage_at_ms=N servers=web1:N,…     outage_ms: the longest time without an answer
use strict;
use warnings;
use Errno qw(EINPROGRESS EAGAIN);
use Fcntl qw(F_SETFL O_NONBLOCK);
use Socket;
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

my ($address, $port, $every, $timeout) = @ARGV;
die "usage: probe.pl ADDRESS PORT EVERY_MS TIMEOUT_MS\n" unless defined $timeout;
my $target = pack_sockaddr_in($port, inet_aton($address));
my $begun = clock_gettime(CLOCK_MONOTONIC);
sub now { return (clock_gettime(CLOCK_MONOTONIC) - $begun) * 1000 }

my ($sent, $ok, $failed, $outage, $outage_at, $last) = (0, 0, 0, 0, 0, 0);
my (%open, %servers, $ended);

sub gap {
    my $at = shift;
    ($outage, $outage_at) = ($at - $last, $last) if $at - $last > $outage;
    $last = $at;
}

sub begin {
    $sent++;
    socket(my $socket, PF_INET, SOCK_STREAM, 0) or die "socket: $!\n";
    fcntl($socket, F_SETFL, O_NONBLOCK) or die "fcntl: $!\n";
    if (!connect($socket, $target) && $! != EINPROGRESS) { $failed++; return; }
    $open{ fileno $socket } = { socket => $socket, start => now(), asked => 0, heard => '' };
}

# The connection is over: the answer counts if it is one with status 200.
sub finish {
    my ($key, $request) = @_;
    delete $open{$key};
    if ($request->{heard} =~ m{\AHTTP/1\.[01] 200 .*?\r\n\r\n\s*(\S*)}s) {
        $ok++;
        $servers{$1}++;
        gap(now());
    } else {
        $failed++;
    }
}

my $due = 0;
until ($ended && !%open) {
    for my $key (keys %open) {
        next if now() - $open{$key}{start} < $timeout;
        delete $open{$key};
        $failed++;
    }
    while (!$ended && now() >= $due) { begin(); $due += $every; }
    my ($reads, $writes) = ('', '');
    vec($reads, 0, 1) = 1 unless $ended;
    for my $key (keys %open) { vec($open{$key}{asked} ? $reads : $writes, $key, 1) = 1; }
    my $wait = $ended ? $every : $due - now();
    next if select($reads, $writes, undef, $wait < 0 ? 0 : $wait / 1000) <= 0;
    if (!$ended && vec($reads, 0, 1) && !sysread(STDIN, my $ignored, 4096)) { $ended = 1; gap(now()) if now() - $last > $outage; }
    for my $key (keys %open) {
        my $request = $open{$key};
        if (vec($writes, $key, 1)) {
            $request->{asked} = 1;
            finish($key, $request) unless syswrite($request->{socket}, "GET / HTTP/1.1\r\nHost: $address\r\nConnection: close\r\n\r\n");
        } elsif (vec($reads, $key, 1)) {
            my $got = sysread($request->{socket}, $request->{heard}, 65536, length $request->{heard});
            finish($key, $request) if defined $got ? $got == 0 : $! != EAGAIN;
        }
    }
}
my $servers = join ',', map { "$_:$servers{$_}" } sort keys %servers;
printf "sent=%d ok=%d failed=%d outage_ms=%d outage_at_ms=%d servers=%s\n", $sent, $ok, $failed, $outage, $outage_at, $servers || '-';
